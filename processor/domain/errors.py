"""The only two ways in which applying a message can fail."""

from typing import Final, Literal, get_args

Reason = Literal[
    "not_json",
    "schema_invalid",
    "unknown_type",
    "key_missing",
    "tenant_mismatch",
    "unknown_original",
    "inconsistent_times",
    "too_old",
    "in_future",
    "no_rate",
    "currency_mismatch",
    "unknown_recharge",
    "conflicting_result",
    "number_invalid",
    "too_large",
    "balance_limit",
]
"""Why an input record is parked: a closed set that also labels the metric and the log line."""

REASONS: Final[tuple[Reason, ...]] = get_args(Reason)


class InputRejected(Exception):  # noqa: N818 - a fact about the input, not a failure of ours
    """The sender's fault: the record is parked as a dead letter and the account is unchanged.

    `message` explains the reason to a person and carries no value of the record's fields.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason: Reason = reason
        self.message = message


class InvariantViolated(AssertionError):  # noqa: N818
    """Our own fault: the worker stops before a wrong balance can be committed.

    Operator action: keep the input topics, save the log, start the previous release; nothing of the running
    cycle was committed.
    """
