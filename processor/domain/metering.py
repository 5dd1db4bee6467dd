"""Decides what one message does to one account: the one way in which an account changes."""

from datetime import datetime

from msgspec import Struct

from processor.domain import recharge
from processor.domain.account import Account, Autopay, credit, debit, expire_next
from processor.domain.coverage import NOT_ALLOWED, UNRATEABLE, cover_leg
from processor.domain.errors import InputRejected
from processor.domain.ledger import (
    Entry,
    EntryKind,
    LotChange,
    Notice,
    NoticeKind,
    RechargeRequest,
    UsageDetail,
)
from processor.domain.messages import (
    AutopaySet,
    AutopaySetData,
    CallUsage,
    ConferenceUsage,
    Funded,
    Message,
    RechargeDecided,
)
from processor.domain.money import MAX_MICROS, MAX_PAYMENT_MICROS, Micros, charge_micros
from processor.domain.policy import Policy
from processor.domain.tariff import Tariff, billed_seconds
from processor.domain.usage import leg_of


class Outcome(Struct):
    """What the world must be told about one applied message. All three may be empty."""

    entries: list[Entry]
    requests: list[RechargeRequest]
    notices: list[Notice]


def apply(account: Account, message: Message, tariff: Tariff, now: datetime) -> Outcome:
    """Changes `account` as `message` demands and returns what the world must be told.

    Amounts are micros of the account's currency; `now` is the aware UTC time at which the batch is applied. Raises
    `InputRejected` for a message that cannot be applied (it is parked and `account` is unchanged); any other
    exception is our own fault.
    """
    match message:
        case CallUsage() | ConferenceUsage():
            return _use(account, message, tariff, now)
        case Funded():
            return _fund(account, message, tariff.policy, now)
        case AutopaySet():
            return _set_autopay(account, message, tariff.policy, now)
        case RechargeDecided():
            return _decide(account, message, tariff.policy, now)


def _use(account: Account, message: CallUsage | ConferenceUsage, tariff: Tariff, now: datetime) -> Outcome:
    leg = leg_of(message, tariff.policy, now)
    cover = cover_leg(leg)
    amount = 0
    usage = UsageDetail(decision=cover.decision, reason=cover.reason)
    if leg.conference:
        usage.leg_kind = leg.kind
    else:
        usage.call_type = leg.kind
    if cover.decision == "credits":
        try:
            row = tariff.find(leg.number, leg.direction, account.currency, leg.started_at)
        except InputRejected as rejected:
            if rejected.reason != "no_rate" or tariff.policy.unrateable != "free":
                raise
            usage.decision, usage.reason = UNRATEABLE.decision, UNRATEABLE.reason
        else:
            usage.country = row.country
            usage.destination = row.destination
            usage.prefix = row.prefix
            usage.deck = row.deck
            if row.allowed:
                usage.billed_seconds = usage.credit_seconds = billed = billed_seconds(leg.seconds, row)
                usage.rate_micros_per_min = row.rate_micros_per_min
                if billed:
                    usage.connect_fee_micros = row.connect_fee_micros
                    amount = charge_micros(billed, row.rate_micros_per_min, row.connect_fee_micros)
            else:
                usage.decision, usage.reason = NOT_ALLOWED.decision, NOT_ALLOWED.reason

    before = account.balance_micros
    outcome = Outcome([], [], [])
    if account.lots:
        _expire(account, message, outcome, now)
    changes = debit(account, amount) if amount else []
    entry = _record(account, message, "charge", -amount, changes, outcome, leg.started_at, now)
    entry.usage = usage
    if account.overdraft_micros and amount:
        entry.flags = ["overdrawn"]
    _conclude(account, message, before, outcome, tariff.policy, now)
    return outcome


def _fund(account: Account, message: Funded, policy: Policy, now: datetime) -> Outcome:
    data, outcome = message.data, Outcome([], [], [])
    before = account.balance_micros
    if data.currency != account.currency and not (account.untouched and account.autopay is None):
        return _refuse(account, message, "currency_changed")
    if data.purchased_at > now + policy.max_future:
        return _refuse(account, message, "in_future")
    if (reason := _amount_refused(data.amount_micros, policy)) is not None:
        return _refuse(account, message, reason)
    if account.balance_micros + data.amount_micros > MAX_MICROS:
        return _refuse(account, message, "above_maximum")
    account.currency = data.currency
    _expire(account, message, outcome, now)
    changes = credit(account, _lot_id(account), data.amount_micros, data.purchased_at)
    recharge.clear(account)
    _record(account, message, "fund", data.amount_micros, changes, outcome, data.purchased_at, now)
    _expire(account, message, outcome, now)
    _conclude(account, message, before, outcome, policy, now)
    return outcome


def _set_autopay(account: Account, message: AutopaySet, policy: Policy, now: datetime) -> Outcome:
    data, outcome = message.data, Outcome([], [], [])
    before = account.balance_micros
    if data.currency != account.currency and not account.untouched:
        return _refuse(account, message, "currency_changed")
    if data.trigger_micros < 0 or (data.max_per_month_micros or 0) < 0:
        return _refuse(account, message, "negative")
    if data.trigger_micros > MAX_PAYMENT_MICROS:
        return _refuse(account, message, "above_maximum")
    units = data.max_units or policy.recharge_max_units
    reason = _amount_refused(data.payment_amount_micros, policy, units)
    if reason is not None and (data.enabled or reason == "negative"):
        return _refuse(account, message, reason)
    account.currency = data.currency
    account.autopay = _autopay(data, message.id)
    recharge.clear(account)
    _expire(account, message, outcome, now)
    _conclude(account, message, before, outcome, policy, now)
    return outcome


def _amount_refused(amount: Micros, policy: Policy, units: int = 1) -> str | None:
    """Names what is wrong with an amount of money to be paid in, if anything."""
    if amount < 0:
        return "negative"
    if amount < max(policy.minimum_funding_micros, 1):
        return "below_minimum"
    return "above_maximum" if amount * units > MAX_PAYMENT_MICROS else None


def _autopay(data: AutopaySetData, set_by: str) -> Autopay:
    return Autopay(
        enabled=data.enabled,
        payment_amount_micros=data.payment_amount_micros,
        trigger_micros=data.trigger_micros,
        payment_method_ref=data.payment_method_ref,
        set_by=set_by,
        max_per_day=data.max_per_day,
        max_per_month_micros=data.max_per_month_micros,
        max_units=data.max_units,
    )


def _decide(account: Account, message: RechargeDecided, policy: Policy, now: datetime) -> Outcome:
    data, outcome = message.data, Outcome([], [], [])
    if data.decided_at > now + policy.max_future:
        raise InputRejected("in_future", "the result was decided in the future")
    if not recharge.accept_result(account, data):
        return outcome
    before = account.balance_micros
    _expire(account, message, outcome, now)
    recharge.settle(account, data, now, policy)
    if data.status == "succeeded":
        changes = credit(account, _lot_id(account), data.amount_micros, data.decided_at)
        _record(account, message, "recharge", data.amount_micros, changes, outcome, data.decided_at, now)
        _expire(account, message, outcome, now)
        kind: NoticeKind = "recharge.succeeded"
    else:
        kind = "recharge.failed"
    notice = _notice(
        account,
        kind,
        data.recharge_id,
        amount_micros=data.amount_micros,
        recharge_id=data.recharge_id,
        reason=data.reason_code,
    )
    outcome.notices.append(notice)
    if account.recharge.suspended:
        outcome.notices.append(_notice(account, "autopay.suspended", data.recharge_id, reason="suspended"))
    _conclude(account, message, before, outcome, policy, now)
    return outcome


def _expire(account: Account, message: Message, outcome: Outcome, now: datetime) -> None:
    """Forfeits lots past their date before anything else can use them."""
    while (lot := expire_next(account, now)) is not None:
        left = lot.remaining_micros
        changes = [LotChange(lot.lot_id, -left)]
        _record(account, message, "expiry", -left, changes, outcome, lot.expires_at, now)
        outcome.notices.append(_notice(account, "lot.expired", lot.lot_id, amount_micros=left, lot_id=lot.lot_id))


def _conclude(
    account: Account, message: Message, before: Micros, outcome: Outcome, policy: Policy, now: datetime
) -> None:
    """Draws the consequences of a changed balance: the zero notice and the recharge decision."""
    if before > 0 >= account.balance_micros:
        outcome.notices.append(_notice(account, "balance.zero", f"r{account.revision}"))
    autopay = account.autopay
    if autopay is None or (account.balance_micros > autopay.trigger_micros and account.recharge.blocked_by is None):
        return
    guard = recharge.refusal(account, now, policy)
    if guard is None:
        account.recharge.blocked_by = None
        outcome.requests.append(recharge.request(account, message.id, now, policy))
    elif guard in ("daily_count_cap", "monthly_amount_cap"):
        if account.recharge.blocked_by != guard:
            account.recharge.blocked_by = guard
            cause = f"{guard}:{recharge.counting_day(account, now)}"
            outcome.notices.append(_notice(account, "autopay.blocked", cause, reason=guard))
    elif guard == "above_trigger":
        account.recharge.blocked_by = None


def _record(
    account: Account,
    message: Message,
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
        event_id=message.id,
        event_source=message.source,
        occurred_at=occurred_at,
        recorded_at=now,
        amount_micros=amount,
        balance_micros=account.balance_micros,
        currency=account.currency,
        lots=changes,
    )
    outcome.entries.append(entry)
    return entry


def _lot_id(account: Account) -> str:
    """Names a new lot after the entry that will record it: unique for the life of the account."""
    return f"lot-{account.revision + 1}"


def _refuse(account: Account, message: Message, reason: str) -> Outcome:
    """Answers an account command that cannot be obeyed; nothing else changes."""
    return Outcome([], [], [_notice(account, "command.rejected", message.id, reason=reason, command_id=message.id)])


def _notice(account: Account, kind: NoticeKind, cause: str, **details: str | int | None) -> Notice:
    return Notice(
        kind=kind,
        tenant_id=account.tenant_id,
        cause=cause,
        balance_micros=account.balance_micros,
        currency=account.currency,
        **details,  # type: ignore[arg-type]
    )
