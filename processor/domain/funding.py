"""Money that somebody pays in, or the operator adds or takes, by hand."""

from datetime import datetime

from processor.domain import recharge
from processor.domain.account import Account, credit, debit, new_lot_id
from processor.domain.bounds import may_pay, may_receive
from processor.domain.messages import Adjusted, Funded
from processor.domain.money import MAX_PAYMENT_MICROS, Micros
from processor.domain.policy import Policy
from processor.domain.posting import Outcome, conclude, expire, record, refuse


def fund(account: Account, message: Funded, policy: Policy, now: datetime) -> Outcome:
    """Adds a purchase as a lot."""
    data, outcome = message.data, Outcome([], [], [])
    before = account.balance_micros
    if data.currency != account.currency and not (account.untouched and account.autopay is None):
        return refuse(account, message, "currency_changed")
    if data.purchased_at > now + policy.max_future:
        return refuse(account, message, "in_future")
    if (reason := amount_refused(data.amount_micros, policy)) is not None:
        return refuse(account, message, reason)
    if not may_receive(account, data.amount_micros):
        return refuse(account, message, "above_maximum")
    account.currency = data.currency
    expire(account, outcome, now)
    changes = credit(account, new_lot_id(account, data.purchased_at), data.amount_micros, data.purchased_at)
    recharge.clear(account)
    record(account, message, "fund", data.amount_micros, changes, outcome, data.purchased_at, now)
    expire(account, outcome, now)
    conclude(account, message, before, outcome, policy, now)
    return outcome


def adjust(account: Account, message: Adjusted, policy: Policy, now: datetime) -> Outcome:
    """Adds a lot that expires twelve months from now, or takes from the lots in burn order and then on credit."""
    amount, outcome = message.data.amount_micros, Outcome([], [], [])
    before = account.balance_micros
    if account.is_new:
        return refuse(account, message, "unknown_tenant")
    if not amount:
        return refuse(account, message, "zero")
    fits = may_receive(account, amount) if amount > 0 else may_pay(account, -amount)
    if abs(amount) > MAX_PAYMENT_MICROS or not fits:
        return refuse(account, message, "above_maximum")
    expire(account, outcome, now)
    changes = credit(account, new_lot_id(account, now), amount, now) if amount > 0 else debit(account, -amount)
    entry = record(account, message, "adjustment", amount, changes, outcome, now, now)
    if amount < 0 and account.overdraft_micros:
        entry.flags = ["overdrawn"]
    conclude(account, message, before, outcome, policy, now)
    return outcome


def amount_refused(amount: Micros, policy: Policy, units: int = 1) -> str | None:
    """Names what is wrong with an amount of money to be paid in, if anything."""
    if amount < 0:
        return "negative"
    if amount < max(policy.minimum_funding_micros, 1):
        return "below_minimum"
    return "above_maximum" if amount * units > MAX_PAYMENT_MICROS else None
