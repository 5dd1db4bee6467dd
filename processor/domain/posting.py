"""Writes down what one message did to an account: ledger entries, notices and the recharge it made due."""

from datetime import datetime
from typing import Final, Protocol

from msgspec import Struct

from processor.domain import recharge
from processor.domain.account import Account, Lot, expire_next
from processor.domain.ledger import Entry, EntryKind, LotChange, Notice, NoticeKind, RechargeRequest
from processor.domain.money import Micros
from processor.domain.policy import Policy


class Outcome(Struct):
    """What the world must be told about one applied message. All three may be empty."""

    entries: list[Entry]
    requests: list[RechargeRequest]
    notices: list[Notice]


CLOCK: Final = "/communication-credits/clock"
"""Who says that time has passed."""


class Cause(Protocol):
    """What made the account change: repeated on its ledger entries as `event_id` and `event_source`."""

    @property
    def id(self) -> str:
        """Unique within the source."""

    @property
    def source(self) -> str:
        """Who says so."""


class Timer(Struct, frozen=True):
    """A cause that is the time itself; the id follows from the account, so every worker would give the same one."""

    id: str
    source: str = CLOCK


def timer(kind: str, what: str) -> Timer:
    """Names what is due."""
    return Timer(f"timer:{kind}:{what}")


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


def expire(account: Account, outcome: Outcome, now: datetime) -> None:
    """Forfeits lots past their date before anything else can use them."""
    while (lot := expire_next(account, now)) is not None:
        left = lot.remaining_micros
        changes = [LotChange(lot.lot_id, -left)]
        record(account, timer("expiry", lot.lot_id), "expiry", -left, changes, outcome, lot.expires_at, now)
        outcome.notices.append(about_lot(account, "lot.expired", lot, left))


def conclude(account: Account, cause: Cause, before: Micros, outcome: Outcome, policy: Policy, now: datetime) -> None:
    """Draws the consequences of a changed balance or changed settings: the recharge decision and what is told of it."""
    balance, autopay, state = account.balance_micros, account.autopay, account.recharge
    if before > 0 >= balance:
        outcome.notices.append(notice(account, "balance.zero", f"r{account.revision}"))
    low = policy.low_balance_micros if autopay is None else autopay.trigger_micros
    if balance > low and state.blocked_by is None:
        return
    guard = recharge.refusal(account, now, policy)
    if guard is not None and guard in recharge.LIMITS:
        _hold_back(account, guard, outcome, now)
        return
    state.blocked_by = state.blocked_until = None
    if guard is None:
        outcome.requests.append(recharge.request(account, cause.id, now, policy))
        if recharge.is_burst(account, now, policy):
            burst = f"burst:{state.in_flight}"
            outcome.notices.append(notice(account, "autopay.blocked", burst, reason="burst"))
    elif guard != "in_flight" and before > low >= balance > 0:
        outcome.notices.append(notice(account, "balance.low", f"r{account.revision}", reason=guard))


def _hold_back(account: Account, limit: str, outcome: Outcome, now: datetime) -> None:
    """Notes which limit holds the payment back and until when; says so once per window."""
    state = account.recharge
    if state.blocked_by == limit and state.blocked_until is not None and now < state.blocked_until:
        return
    state.blocked_by = limit
    window, state.blocked_until = recharge.window(account, limit, now)
    if state.blocks_told.get(limit) != window:
        state.blocks_told[limit] = window
        outcome.notices.append(notice(account, "autopay.blocked", f"{limit}:{window}", reason=limit))


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


def about_lot(account: Account, kind: NoticeKind, lot: Lot, left: Micros) -> Notice:
    """Says something about a lot; a void may open it again, and then the same can happen to it once more."""
    return notice(account, kind, f"{lot.lot_id}:r{account.revision}", amount_micros=left, lot_id=lot.lot_id)


def refuse(account: Account, cause: Cause, reason: str) -> Outcome:
    """Answers an account command that cannot be obeyed; nothing else changes."""
    return Outcome([], [], [notice(account, "command.rejected", cause.id, reason=reason, command_id=cause.id)])
