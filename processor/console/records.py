"""Records of the meter's topics to rows of the read model: a pure function over one batch.

Only the fields that are asked for by name are decoded; the rest of a record travels on as its own JSON.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import chain
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Raw, Struct, field

from processor.contracts import topics
from processor.domain.money import Micros
from processor.domain.pools import UserPools

FOLLOWED: Final = (topics.ACCOUNT_STATE, topics.LEDGER, topics.NOTIFICATIONS, topics.USER_POOLS)

Row = dict[str, Any]


class Record(NamedTuple):
    """One committed record, where it came from."""

    topic: str
    partition: int
    offset: int
    value: bytes | None


class UnreadableRecordError(Exception):
    """A record of the meter's own topics is not what the meter writes: nothing may be skipped."""

    def __init__(self, record: Record, cause: Exception | str) -> None:
        where = f"{record.topic}[{record.partition}] at offset {record.offset}"
        super().__init__(f"{where} cannot be read ({cause}): is this console older than the meter?")


class Day(NamedTuple):
    """What `daily` sums by."""

    tenant_id: str
    day: str
    kind: str
    country: str


class Changes(Struct):
    """Rows that one batch adds, by table; accounts and users are the newest of each."""

    accounts: dict[str, Row] = field(default_factory=dict)
    users: dict[tuple[str, str], Row] = field(default_factory=dict)
    entries: list[Row] = field(default_factory=list)
    days: dict[Day, list[int]] = field(default_factory=dict)
    notices: list[Row] = field(default_factory=list)
    outcomes: dict[tuple[str, str], Row] = field(default_factory=dict)
    offsets: dict[tuple[str, int], int] = field(default_factory=dict)

    @property
    def tenants(self) -> set[str]:
        """Those that the batch is about."""
        pairs = chain(self.users, self.outcomes, ((day.tenant_id, "") for day in self.days))
        return {*self.accounts, *(notice["tenant_id"] for notice in self.notices), *(tenant for tenant, _ in pairs)}


class _Usage(Struct, gc=False):
    decision: str = ""
    country: str | None = None
    credit_seconds: int = 0
    pool_minutes: int = 0


class _Entry(Struct, gc=False):
    tenant_id: str
    revision: int
    kind: str
    event_id: str
    occurred_at: datetime
    recorded_at: datetime
    amount_micros: Micros
    usage: _Usage | None = None


class _Notice(Struct):
    kind: str
    tenant_id: str
    reason: str | None = None
    command_id: str | None = None


class _Event(Struct, gc=False):
    id: str
    time: datetime
    data: Raw


class _SetBy(Struct):
    set_by: str | None = None


class _ResetBy(Struct):
    reset_by: str | None = None


class _Account(Struct):
    tenant_id: str
    revision: int
    currency: str
    balance_micros: Micros
    autopay: _SetBy | None = None
    recharge: _ResetBy | None = None
    licences: list[_SetBy] = []


_event = msgspec.json.Decoder(_Event).decode
_entry = msgspec.json.Decoder(_Entry).decode
_notice = msgspec.json.Decoder(_Notice).decode
_account = msgspec.json.Decoder(_Account).decode
_user = msgspec.json.Decoder(UserPools).decode

_NO_USAGE: Final = _Usage()
_COMMANDED: Final = frozenset({"fund", "adjustment"})
"""Entries whose event is an account command."""


def changes_of(records: Iterable[Record]) -> Changes:
    """Turns a batch, in its order, into what it adds to the read model. Raises `UnreadableRecordError`."""
    changes = Changes()
    for record in records:
        if record.value is None:
            raise UnreadableRecordError(record, "it has no value")
        try:
            _ADD[record.topic](changes, record.value)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UnreadableRecordError(record, error) from error
        changes.offsets[record.topic, record.partition] = record.offset + 1
    return changes


def _add_entry(changes: Changes, value: bytes) -> None:
    document = _event(value).data
    entry = _entry(document)
    usage = entry.usage or _NO_USAGE
    country, tenant = usage.country or "", entry.tenant_id
    changes.entries.append(
        {
            "tenant_id": tenant,
            "revision": entry.revision,
            "kind": entry.kind,
            "decision": usage.decision,
            "country": country,
            "occurred_ms": _ms(entry.occurred_at),
            "recorded_ms": _ms(entry.recorded_at),
            "amount_micros": entry.amount_micros,
            "document": bytes(document).decode(),
        }
    )
    day = Day(tenant, entry.occurred_at.astimezone(UTC).date().isoformat(), entry.kind, country)
    sums = changes.days.setdefault(day, [0, 0, 0, 0])
    sums[0] += 1
    sums[1] += entry.amount_micros
    sums[2] += usage.credit_seconds
    sums[3] += usage.pool_minutes
    if entry.kind in _COMMANDED:
        _add_outcome(changes, tenant, entry.event_id, "applied", revision=entry.revision)


def _add_notice(changes: Changes, value: bytes) -> None:
    event = _event(value)
    notice = _notice(event.data)
    changes.notices.append(
        {
            "tenant_id": notice.tenant_id,
            "notice_id": event.id,
            "kind": notice.kind,
            "at_ms": _ms(event.time),
            "document": bytes(event.data).decode(),
        }
    )
    if notice.kind == "command.rejected" and notice.command_id:
        _add_outcome(changes, notice.tenant_id, notice.command_id, "rejected", reason=notice.reason)


def _add_account(changes: Changes, value: bytes) -> None:
    account = _account(value)
    changes.accounts[account.tenant_id] = {
        "tenant_id": account.tenant_id,
        "revision": account.revision,
        "currency": account.currency,
        "balance_micros": account.balance_micros,
        "document": value.decode(),
    }
    for command_id in _named_by(account):
        _add_outcome(changes, account.tenant_id, command_id, "applied")


def _add_user(changes: Changes, value: bytes) -> None:
    user = _user(value)
    month = max((use.month for use in user.pools), default="")
    changes.users[user.tenant_id, user.user_id] = {
        "tenant_id": user.tenant_id,
        "user_id": user.user_id,
        "month": month,
        "used_minutes": sum(use.used_minutes for use in user.pools if use.month == month),
        "document": value.decode(),
    }


def _named_by(account: _Account) -> set[str]:
    """Returns the ids of the commands that an account names: those that leave no ledger entry."""
    named = {licences.set_by for licences in account.licences}
    if account.autopay is not None:
        named.add(account.autopay.set_by)
    if account.recharge is not None:
        named.add(account.recharge.reset_by)
    return {command_id for command_id in named if command_id}


def _add_outcome(
    changes: Changes,
    tenant: str,
    command_id: str,
    status: str,
    *,
    reason: str | None = None,
    revision: int | None = None,
) -> None:
    changes.outcomes[tenant, command_id] = {
        "tenant_id": tenant,
        "command_id": command_id,
        "status": status,
        "reason": reason,
        "revision": revision,
    }


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


_ADD: Final = {
    topics.ACCOUNT_STATE: _add_account,
    topics.LEDGER: _add_entry,
    topics.NOTIFICATIONS: _add_notice,
    topics.USER_POOLS: _add_user,
}
