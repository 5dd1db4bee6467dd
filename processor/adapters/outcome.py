"""What becomes of one vendor row: a usage event, nothing to charge, or a reason why it cannot be read."""

from typing import Final, Literal, get_args

from msgspec import Struct

from processor.domain.money import Micros

RejectReason = Literal[
    "not_json",
    "not_csv",
    "schema_invalid",
    "unknown_call_type",
    "number_invalid",
    "direction_unknown",
    "time_invalid",
    "inconsistent_times",
]
"""Why a row has no event although it may have to be charged: somebody must look at it."""

LeaveReason = Literal["not_answered", "unfinished", "not_pstn", "same_call", "freecall"]
"""Why a row is rightly no usage."""

REJECT_REASONS: Final[tuple[RejectReason, ...]] = get_args(RejectReason)
LEAVE_REASONS: Final[tuple[LeaveReason, ...]] = get_args(LeaveReason)


class RowRejected(Exception):  # noqa: N818 - a fact about the row, not a failure of ours
    """The row cannot be converted; `message` tells a person why and carries no value of the row."""

    def __init__(self, reason: RejectReason, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason: RejectReason = reason
        self.message = message


class RowLeft(Exception):  # noqa: N818
    """The row is rightly no usage: nobody was connected, or no public network was."""

    def __init__(self, reason: LeaveReason) -> None:
        super().__init__(reason)
        self.reason: LeaveReason = reason


class Usage(Struct, frozen=True, kw_only=True, gc=False):
    """One usage event, ready for its topic.

    `value` is a CloudEvent in JSON that the worker decodes; the record's key is the tenant id. `over_a_day` asks for a
    second look and changes nothing. `vendor_charge_micros` is what the vendor asked for the row, in `vendor_currency`,
    both None where the row does not say: for comparison only, the event carries no price.
    """

    topic: str
    event_id: str
    value: bytes
    over_a_day: bool = False
    vendor_charge_micros: Micros | None = None
    vendor_currency: str | None = None


class Converted(Struct, frozen=True, gc=False):
    """A row that became an event; `line` is where the row begins, counted from 1."""

    line: int
    usage: Usage


class LeftOut(Struct, frozen=True, gc=False):
    """A row that is rightly no usage."""

    line: int
    reason: LeaveReason


class Rejected(Struct, frozen=True, gc=False):
    """A row that cannot be converted; `row` is its text as delivered, so it can be repaired and converted again."""

    line: int
    reason: RejectReason
    message: str
    row: str


Outcome = Converted | LeftOut | Rejected
