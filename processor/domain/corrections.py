"""Taking a charge back: the money to the lots it came from, the minutes to the pool and month they came from."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from processor.domain.account import Account, refund
from processor.domain.ledger import LotChange, UsageDetail
from processor.domain.messages import CallUsage, ConferenceUsage
from processor.domain.money import Micros
from processor.domain.pools import Pools, PoolUse, owner_of
from processor.domain.posting import Outcome, record


class Allocation(Struct, array_like=True, frozen=True, gc=False):
    """Where the charge of a usage event came from, in its latest version; what a correction gives back.

    `event_id` is the final record's, also when a correction has replaced it since.
    """

    tenant_id: str
    event_id: str
    started_at: datetime
    decision: str
    amount_micros: Micros
    lots: list[LotChange]
    pool: str | None = None
    pool_minutes: int = 0


class BookedUsage(Protocol):
    """What of `usage` in a ledger entry says where a charge came from."""

    @property
    def decision(self) -> str: ...  # noqa: D102
    @property
    def pool(self) -> str | None: ...  # noqa: D102
    @property
    def pool_minutes(self) -> int: ...  # noqa: D102
    @property
    def corrects(self) -> str | None: ...  # noqa: D102


class Booked(Protocol):
    """What of a ledger entry says where a charge came from; whoever reads the ledger need not decode more."""

    @property
    def tenant_id(self) -> str: ...  # noqa: D102
    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def event_id(self) -> str: ...  # noqa: D102
    @property
    def event_source(self) -> str: ...  # noqa: D102
    @property
    def occurred_at(self) -> datetime: ...  # noqa: D102
    @property
    def amount_micros(self) -> Micros: ...  # noqa: D102
    @property
    def lots(self) -> list[LotChange]: ...  # noqa: D102
    @property
    def usage(self) -> BookedUsage | None: ...  # noqa: D102


class Memory(Protocol):
    """What is known of a tenant beside its account: too much to be published with every change."""

    def original(self, source: str, event_id: str) -> Allocation | None:
        """Finds the latest version of a usage event by its own id or by that of one of its corrections."""

    def own_pools(self, tenant_id: str, user_id: str) -> list[PoolUse]:
        """Returns the counters of a user who shares no pool; changes to the list are kept."""


def allocations(entries: Sequence[Booked]) -> Iterator[tuple[str, str, Allocation]]:
    """Yields (source, event id, allocation) of every version that the entries of one message leave behind.

    The last one of an id is the valid one. A correction can be named by its own id as well as by its original's.
    """
    for entry in entries:
        usage = entry.usage
        if usage is None:
            continue
        original = usage.corrects or entry.event_id
        charged = entry.kind == "charge"
        found = Allocation(
            entry.tenant_id,
            original,
            entry.occurred_at,
            usage.decision,
            -entry.amount_micros if charged else 0,
            entry.lots if charged else [],
            usage.pool if charged else None,
            usage.pool_minutes if charged else 0,
        )
        yield entry.event_source, original, found
        if original != entry.event_id:
            yield entry.event_source, entry.event_id, found


def latest(find: Callable[[str, str], Allocation | None], source: str, event_id: str) -> Allocation | None:
    """Finds the valid version by any id of an event: that of its final record or of one of its corrections."""
    found = find(source, event_id)
    if found is not None and found.event_id != event_id:
        found = find(source, found.event_id)
    return found


def take_back(
    account: Account,
    message: CallUsage | ConferenceUsage,
    original: Allocation,
    memory: Memory,
    outcome: Outcome,
    now: datetime,
) -> None:
    """Writes the refund entry of a correction or a void."""
    changes = refund(account, original.amount_micros, original.lots, original.started_at)
    if original.pool is not None and original.pool_minutes:
        owner = owner_of(original.pool)
        uses = account.pools if owner is None else memory.own_pools(account.tenant_id, owner)
        Pools(account.licences, uses, original.started_at).give_back(original.pool, original.pool_minutes)
    entry = record(account, message, "refund", original.amount_micros, changes, outcome, original.started_at, now)
    entry.usage = UsageDetail(
        decision=original.decision,  # type: ignore[arg-type]
        reason=message.data.record_kind,
        corrects=original.event_id,
        pool=original.pool,
        pool_minutes=-original.pool_minutes,
    )
