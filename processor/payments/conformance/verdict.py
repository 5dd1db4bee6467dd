"""Holds a worker's results against what it was asked. Every check names its rule and what broke it."""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from processor.contracts import topics
from processor.contracts.inputs import decode
from processor.domain.errors import InputRejected
from processor.domain.ledger import RechargeRequest
from processor.domain.messages import RechargeDecided
from processor.payments.conformance.plan import Plan

ENDED_BY_SIGTERM: Final = (0, -15, 143)
"""In order, by the signal itself, or by a shell that says so."""


class Record(Struct, frozen=True, kw_only=True):
    """A committed record of the results topic."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]] = []


class Observed(Struct, frozen=True, kw_only=True):
    """What was seen from outside.

    `places` is each tenant's partition of the commands. `open_transaction` tells that records are held back at the
    end. `exit_code` is None for a worker that had to be killed. `book` lists what the provider charged, if asked.
    """

    records: list[Record]
    places: Mapping[str, int]
    open_transaction: bool
    exit_code: int | None
    book: list[str] | None = None


class Check(Struct):
    """One rule and what broke it; it holds when nothing did."""

    name: str
    rule: str
    problems: list[str]

    @property
    def holds(self) -> bool:
        """Whether the worker keeps the rule."""
        return not self.problems


def judge(plan: Plan, seen: Observed) -> list[Check]:
    """Returns every check, those that hold included."""
    results, invalid = _decoded(seen.records)
    wanted = plan.wanted
    counts = Counter(result.data.recharge_id for _, result in results)
    aborted = {each.recharge_id for each in plan.aborted}
    checks = [
        Check("answered", "every recharge has a result", [f"{key}: none" for key in wanted if key not in counts]),
        Check("once", "a recharge id has exactly one result", _repeated(counts, results)),
        Check(
            "known",
            "no result without a committed command",
            [
                f"{key}: {'its command was in an aborted transaction' if key in aborted else 'nobody asked'}"
                for key in counts
                if key not in wanted
            ],
        ),
        Check("echoed", "tenant, amount and currency are the command's", _changed(wanted, results)),
        Check("valid", "every record is a payments.recharge.decided.v1 of the schema", invalid),
        Check("placed", "the key is the tenant, in its command's partition (murmur2)", _misplaced(seen, results)),
        Check(
            "committed",
            "at the end nothing is held back from readers of committed records",
            ["a transaction was left open"] if seen.open_transaction else [],
        ),
        Check("stopped", "SIGTERM ends the worker in time, in order", _stopped(seen.exit_code)),
    ]
    if seen.book is not None:
        checks.append(Check("charged", "the provider's charges are the successes, one each", _booked(seen, results)))
    return checks


def _decoded(records: list[Record]) -> tuple[list[tuple[Record, RechargeDecided]], list[str]]:
    results, invalid = [], []
    for record in records:
        try:
            message = decode(topics.RECHARGE_RESULTS, record.value, record.headers)
        except InputRejected as error:
            invalid.append(f"partition {record.partition}, offset {record.offset}: {error.reason}, {error}")
            continue
        assert isinstance(message, RechargeDecided)  # noqa: S101 - the topic accepts nothing else
        results.append((record, message))
    return results, invalid


def _repeated(counts: Mapping[str, int], results: list[tuple[Record, RechargeDecided]]) -> list[str]:
    answers: dict[str, set[str]] = {}
    events: dict[str, set[tuple[str, str]]] = {}
    for _, result in results:
        answers.setdefault(result.data.recharge_id, set()).add(result.data.status)
        events.setdefault(result.data.recharge_id, set()).add((result.source, result.id))
    return [
        f"{key}: {count} results"
        + (f" that differ ({', '.join(sorted(answers[key]))})" if len(answers[key]) > 1 else "")
        + (f", under {len(events[key])} event ids" if len(events[key]) > 1 else "")
        for key, count in counts.items()
        if count > 1
    ]


def _changed(wanted: Mapping[str, RechargeRequest], results: list[tuple[Record, RechargeDecided]]) -> list[str]:
    problems = []
    for _, result in results:
        command = wanted.get(result.data.recharge_id)
        if command is None:
            continue
        problems += [
            f"{command.recharge_id}: {name} is {found}, was {asked}"
            for name, found, asked in (
                ("tenant_id", result.data.tenant_id, command.tenant_id),
                ("amount_micros", result.data.amount_micros, command.amount_micros),
                ("currency", result.data.currency, command.currency),
            )
            if found != asked
        ]
    return problems


def _misplaced(seen: Observed, results: list[tuple[Record, RechargeDecided]]) -> list[str]:
    problems = []
    for record, result in results:
        tenant = result.data.tenant_id
        if record.key != tenant.encode():
            problems.append(f"{result.data.recharge_id}: the key is {record.key!r}")
        elif record.partition != seen.places.get(tenant, record.partition):
            problems.append(f"{result.data.recharge_id}: in partition {record.partition}, not {seen.places[tenant]}")
    return problems


def _stopped(exit_code: int | None) -> list[str]:
    if exit_code is None:
        return ["it had to be killed"]
    return [] if exit_code in ENDED_BY_SIGTERM else [f"its exit code is {exit_code}"]


def _booked(seen: Observed, results: list[tuple[Record, RechargeDecided]]) -> list[str]:
    book = Counter(seen.book)
    succeeded = {result.data.recharge_id for _, result in results if result.data.status == "succeeded"}
    return (
        [f"{key}: charged {count} times" for key, count in book.items() if count > 1]
        + [f"{key}: charged, but there is no success" for key in book if key not in succeeded]
        + [f"{key}: a success without a charge" for key in sorted(succeeded - book.keys())]
    )
