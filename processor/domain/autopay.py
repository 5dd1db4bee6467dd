"""The auto-pay settings of an account, the results of its recharges, and the operator's reset."""

from datetime import datetime

from processor.domain import recharge
from processor.domain.account import Account, Autopay, credit, new_lot_id
from processor.domain.funding import amount_refused
from processor.domain.ledger import NoticeKind
from processor.domain.messages import AutopaySet, AutopaySetData, RechargeDecided, RechargeReset
from processor.domain.money import MAX_PAYMENT_MICROS
from processor.domain.policy import Policy
from processor.domain.posting import Outcome, conclude, expire, notice, record, refuse


def set_autopay(account: Account, message: AutopaySet, policy: Policy, now: datetime) -> Outcome:
    """Replaces the settings; already at or below the trigger, a payment is asked for at once.

    A pause or suspension ends with settings that differ: saving the same ones again says nothing new about the card.
    """
    data, outcome = message.data, Outcome([], [], [])
    before = account.balance_micros
    if data.currency != account.currency and not account.untouched:
        return refuse(account, message, "currency_changed")
    if data.trigger_micros < 0 or (data.max_per_month_micros or 0) < 0:
        return refuse(account, message, "negative")
    if data.trigger_micros > MAX_PAYMENT_MICROS:
        return refuse(account, message, "above_maximum")
    units = data.max_units or policy.recharge_max_units
    reason = amount_refused(data.payment_amount_micros, policy, units)
    if reason is not None and (data.enabled or reason == "negative"):
        return refuse(account, message, reason)
    known = account.autopay
    if known is None or data.currency != account.currency or _autopay(data, known.set_by) != known:
        recharge.clear(account)
    account.currency = data.currency
    account.autopay = _autopay(data, message.id)
    expire(account, outcome, now)
    conclude(account, message, before, outcome, policy, now)
    return outcome


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


def decide(account: Account, message: RechargeDecided, policy: Policy, now: datetime) -> Outcome:
    """Applies what the payment provider said to the recharge in flight.

    Money that was taken is credited whatever the clock of the payment worker said: a purchase of the future is one of
    now.
    """
    data, outcome = message.data, Outcome([], [], [])
    if not recharge.accept_result(account, data):
        return outcome
    before = account.balance_micros
    expire(account, outcome, now)
    recharge.settle(account, data, now, policy)
    if data.status == "succeeded":
        purchased_at = min(data.decided_at, now)
        changes = credit(account, new_lot_id(account, purchased_at), data.amount_micros, purchased_at)
        record(account, message, "recharge", data.amount_micros, changes, outcome, purchased_at, now)
        expire(account, outcome, now)
        kind: NoticeKind = "recharge.succeeded"
    else:
        kind = "recharge.failed"
    told = notice(
        account,
        kind,
        data.recharge_id,
        amount_micros=data.amount_micros,
        recharge_id=data.recharge_id,
        reason=data.reason_code,
    )
    outcome.notices.append(told)
    if account.recharge.suspended:
        outcome.notices.append(notice(account, "autopay.suspended", data.recharge_id, reason="suspended"))
    conclude(account, message, before, outcome, policy, now)
    return outcome


def reset(account: Account, message: RechargeReset, policy: Policy, now: datetime) -> Outcome:
    """Ends a pause or a suspension; a payment that is due is asked for at once. What is in flight stays in flight.

    Payments that a wrong clock has counted to a day to come are not counted any more.
    """
    if account.is_new:
        return refuse(account, message, "unknown_tenant")
    outcome, before = Outcome([], [], []), account.balance_micros
    recharge.clear(account)
    recharge.forget_days_to_come(account, now)
    account.recharge.reset_by = message.id
    expire(account, outcome, now)
    conclude(account, message, before, outcome, policy, now)
    return outcome
