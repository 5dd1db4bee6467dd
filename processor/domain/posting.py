"""Writes down what one message did to an account: ledger entries, notices and the recharge it made due."""

from datetime import datetime
from typing import Protocol

from msgspec import Struct

from processor.domain import recharge
from processor.domain.account import Account, expire_next
from processor.domain.ledger import Entry, EntryKind, LotChange, Notice, NoticeKind, RechargeRequest
from processor.domain.money import Micros
from processor.domain.policy import Policy


class Outcome(Struct):
    """What the world must be told about one applied message. All three may be empty."""

    entries: list[Entry]
    requests: list[RechargeRequest]
    notices: list[Notice]


class Cause(Protocol):
    """What made the account change: repeated on its ledger entries as `event_id` and `event_source`."""

    @property
    def id(self) -> str:
        """Unique within the source."""

    @property
    def source(self) -> str:
        """Who says so."""


def record(
    account: Account,
    cause: Cause,
    kind: EntryKind,
    amount: Micros,
    changes: list[LotChange],
    outcome: Outcome,
    occurred_at: datetime,
    now: datetime,
) -> Entry:
    """Writes one ledger entry about a change that has been made already."""
    account.revision = revision = account.revision + 1
    tenant = account.tenant_id
    entry = Entry(
        entry_id=f"{tenant}:{revision}",
        tenant_id=tenant,
        revision=revision,
        kind=kind,
        event_id=cause.id,
        event_source=cause.source,
        occurred_at=occurred_at,
        recorded_at=now,
        amount_micros=amount,
        balance_micros=account.balance_micros,
        currency=account.currency,
        lots=changes,
    )
    outcome.entries.append(entry)
    return entry


def expire(account: Account, cause: Cause, outcome: Outcome, now: datetime) -> None:
    """Forfeits lots past their date before anything else can use them."""
    while (lot := expire_next(account, now)) is not None:
        left = lot.remaining_micros
        changes = [LotChange(lot.lot_id, -left)]
        record(account, cause, "expiry", -left, changes, outcome, lot.expires_at, now)
        outcome.notices.append(notice(account, "lot.expired", lot.lot_id, amount_micros=left, lot_id=lot.lot_id))


def conclude(account: Account, cause: Cause, before: Micros, outcome: Outcome, policy: Policy, now: datetime) -> None:
    """Draws the consequences of a changed balance: the zero notice and the recharge decision."""
    if before > 0 >= account.balance_micros:
        outcome.notices.append(notice(account, "balance.zero", f"r{account.revision}"))
    autopay = account.autopay
    if autopay is None or (account.balance_micros > autopay.trigger_micros and account.recharge.blocked_by is None):
        return
    guard = recharge.refusal(account, now, policy)
    if guard is None:
        account.recharge.blocked_by = None
        outcome.requests.append(recharge.request(account, cause.id, now, policy))
    elif guard in ("daily_count_cap", "monthly_amount_cap"):
        if account.recharge.blocked_by != guard:
            account.recharge.blocked_by = guard
            window = f"{guard}:{recharge.counting_day(account, now)}"
            outcome.notices.append(notice(account, "autopay.blocked", window, reason=guard))
    elif guard == "above_trigger":
        account.recharge.blocked_by = None


def notice(account: Account, kind: NoticeKind, cause: str, **details: str | int | None) -> Notice:
    """Says something to people; (tenant, kind, cause) identifies it."""
    return Notice(
        kind=kind,
        tenant_id=account.tenant_id,
        cause=cause,
        balance_micros=account.balance_micros,
        currency=account.currency,
        **details,  # type: ignore[arg-type]
    )


def refuse(account: Account, cause: Cause, reason: str) -> Outcome:
    """Answers an account command that cannot be obeyed; nothing else changes."""
    return Outcome([], [], [notice(account, "command.rejected", cause.id, reason=reason, command_id=cause.id)])
