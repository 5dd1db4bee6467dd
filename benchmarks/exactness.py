"""Compares what a program has written with what the generator says it had to: entry by entry, tenant by tenant."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Entry(NamedTuple):
    """One line of a ledger; `event_id` is None where it is no charge."""

    tenant: str
    event_id: str | None
    amount_micros: int
    balance_micros: int


class Request(NamedTuple):
    """One recharge command."""

    tenant: str
    recharge_id: str


class Expected(NamedTuple):
    """What the generator knows: events are numbered behind `prefix`, from 0 to `events` - 1."""

    prefix: str
    events: int
    charged_micros: Mapping[str, int]
    trigger_micros: int


class Exactness(NamedTuple):
    """How many of each fault; all are 0 when every unique event is charged once, to the micro."""

    missing: int
    doubled: int
    unknown: int
    wrong_sums: int
    """Tenants that are charged more or less than they owe."""
    broken_balances: int
    """Entries whose balance is not the one before and their amount."""
    wrong_requests: int
    """Recharge commands that are repeated, or that a tenant lacks, or has without having reached its trigger."""

    @property
    def exact(self) -> bool:
        """Says whether nothing is wrong."""
        return not any(self)


def check(expected: Expected, entries: Iterable[Entry], requests: Iterable[Request]) -> Exactness:
    """Checks a ledger in the order of its partitions, and the recharge commands; no recharge was answered."""
    seen = bytearray(expected.events)
    charged: Counter[str] = Counter()
    balances: dict[str, int] = {}
    doubled = unknown = broken = 0
    for entry in entries:
        broken += entry.balance_micros != balances.get(entry.tenant, 0) + entry.amount_micros
        balances[entry.tenant] = entry.balance_micros
        if entry.event_id is None:
            continue
        charged[entry.tenant] -= entry.amount_micros
        number = _number(expected, entry.event_id)
        if number is None:
            unknown += 1
        else:
            doubled += seen[number]
            seen[number] = 1
    tenants = charged.keys() | expected.charged_micros.keys()
    return Exactness(
        missing=seen.count(0),
        doubled=doubled,
        unknown=unknown,
        wrong_sums=sum(charged[tenant] != expected.charged_micros.get(tenant, 0) for tenant in tenants),
        broken_balances=broken,
        wrong_requests=_wrong_requests(balances, expected.trigger_micros, requests),
    )


def _number(expected: Expected, event_id: str) -> int | None:
    digits = event_id.removeprefix(expected.prefix)
    known = digits != event_id and digits.isdecimal() and int(digits) < expected.events
    return int(digits) if known else None


def _wrong_requests(balances: Mapping[str, int], trigger_micros: int, requests: Iterable[Request]) -> int:
    """Counts deviations from one request for each tenant that is at its trigger: unanswered, it stays the only one."""
    asked = Counter(request.tenant for request in requests)
    due = Counter({tenant: 1 for tenant, balance in balances.items() if balance <= trigger_micros})
    return (asked - due).total() + (due - asked).total()
