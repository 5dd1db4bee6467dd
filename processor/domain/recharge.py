"""Auto-pay: when to ask for a payment, how large, and what its result means.

ready -> requested -> succeeded -> ready, or declined/failed -> backing off -> ready, or suspended after repeated
failures until the settings change, somebody pays by hand or the operator resets it. A deadline that passes makes the
payment unknown: it is asked for again under its id, never another one.
"""

from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Literal

from processor.domain.account import Account, Autopay, Decided
from processor.domain.errors import InputRejected, InvariantViolated
from processor.domain.ledger import RechargeRequest
from processor.domain.messages import RechargeDecidedData
from processor.domain.money import MAX_MICROS, MAX_PAYMENT_MICROS
from processor.domain.policy import Policy

Refusal = Literal[
    "above_trigger",
    "autopay_off",
    "in_flight",
    "backing_off",
    "suspended",
    "below_minimum",
    "daily_count_cap",
    "monthly_amount_cap",
]

LIMITS: Final = ("below_minimum", "daily_count_cap", "monthly_amount_cap")
"""The refusals that hold for a window of time and are told once in each."""

DECIDED_KEPT: Final = 16
"""How many past results an account remembers; older repetitions are caught by their event id."""


def refusal(account: Account, now: datetime, policy: Policy) -> Refusal | None:
    """Names the guard that keeps a recharge from being requested now, or None when it is due."""
    autopay, recharge = account.autopay, account.recharge
    if autopay is None or not autopay.enabled:
        return "autopay_off"
    if account.balance_micros > autopay.trigger_micros:
        return "above_trigger"
    if recharge.in_flight is not None:
        return "in_flight"
    if recharge.suspended:
        return "suspended"
    if recharge.not_before is not None and now < recharge.not_before:
        return "backing_off"
    if autopay.payment_amount_micros < policy.minimum_funding_micros:
        return "below_minimum"
    today = counting_day(account, now)
    if recharge.counted_on == today and recharge.count_today >= (autopay.max_per_day or policy.recharge_max_per_day):
        return "daily_count_cap"
    spent = recharge.micros_this_month if recharge.counted_on[:7] == today[:7] else 0
    cap = MAX_MICROS if autopay.max_per_month_micros is None else autopay.max_per_month_micros
    if spent + size(account, autopay, policy) > cap:
        return "monthly_amount_cap"
    return None


def size(account: Account, autopay: Autopay, policy: Policy) -> int:
    """Sizes the payment: the smallest allowed multiple of its amount that lifts the balance above the trigger."""
    unit = autopay.payment_amount_micros
    missing = autopay.trigger_micros - account.balance_micros
    units = missing // unit + 1 if missing >= 0 else 1
    # What the operator allows may have grown since the settings were checked.
    return unit * min(units, autopay.max_units or policy.recharge_max_units, MAX_PAYMENT_MICROS // unit)


def request(account: Account, caused_by: str, now: datetime, policy: Policy) -> RechargeRequest:
    """Puts one recharge in flight and returns its command; the caller has asked `refusal` first."""
    autopay, recharge = account.autopay, account.recharge
    if autopay is None or recharge.in_flight is not None:
        raise InvariantViolated("a second recharge would be in flight")
    amount = size(account, autopay, policy)
    _count(account, amount, now)
    recharge.sequence += 1
    recharge.in_flight = f"{account.tenant_id}:{recharge.sequence}"
    recharge.attempt = 0
    recharge.amount_micros = amount
    recharge.payment_method_ref = autopay.payment_method_ref
    recharge.requested_at = now
    recharge.not_before = None
    return ask(account, caused_by, now, policy)


def ask(account: Account, caused_by: str, now: datetime, policy: Policy) -> RechargeRequest:
    """Returns the next command for the recharge in flight: the same terms, one attempt more, a later deadline.

    The time to answer doubles with each attempt, so a provider that is down is not asked ever faster.
    """
    autopay, recharge = account.autopay, account.recharge
    if autopay is None or recharge.in_flight is None:
        raise InvariantViolated("there is no recharge to ask for")
    recharge.attempt += 1
    patience = policy.recharge_deadline * 2 ** min(recharge.attempt - 1, 16)
    recharge.deadline_at = now + min(patience, policy.recharge_deadline_max)
    return RechargeRequest(
        recharge_id=recharge.in_flight,
        tenant_id=account.tenant_id,
        sequence=recharge.sequence,
        attempt=recharge.attempt,
        amount_micros=recharge.amount_micros,
        currency=account.currency,
        requested_at=now,
        deadline_at=recharge.deadline_at,
        balance_micros=account.balance_micros,
        trigger_micros=autopay.trigger_micros,
        payment_method_ref=recharge.payment_method_ref or autopay.payment_method_ref,
        caused_by=caused_by,
    )


def is_burst(account: Account, now: datetime, policy: Policy) -> bool:
    """Notes that a recharge was asked for and tells whether a burst begins with it: so many within so short a time."""
    recharge, count = account.recharge, policy.burst_recharges
    asked = [*recharge.recent, now][-count - 1 :]
    recharge.recent = asked[-count:]

    def dense(times: list[datetime]) -> bool:
        return len(times) == count and times[-1] - times[0] <= policy.burst_window

    return dense(asked[-count:]) and not dense(asked[:-1])


def accept_result(account: Account, result: RechargeDecidedData) -> bool:
    """Tells whether a result is news: False for a repetition of what is known already.

    Raises `InputRejected`: `unknown_recharge`, `conflicting_result`, `currency_mismatch`.
    """
    for known in account.recharge.decided:
        if known.recharge_id == result.recharge_id:
            if known.status == result.status:
                return False
            raise InputRejected("conflicting_result", "another final result of this recharge was applied before")
    if result.recharge_id != account.recharge.in_flight:
        raise InputRejected("unknown_recharge", "no recharge of this id is in flight for the tenant")
    if result.currency != account.currency:
        raise InputRejected("currency_mismatch", "the result is in another currency than the account")
    if result.amount_micros != account.recharge.amount_micros:
        raise InputRejected("conflicting_result", "the result is about another amount than was asked for")
    return True


def settle(account: Account, result: RechargeDecidedData, now: datetime, policy: Policy) -> None:
    """Takes the recharge out of flight; a failure starts the back-off, the last one allowed suspends auto-pay."""
    recharge = account.recharge
    recharge.decided = [*recharge.decided[1 - DECIDED_KEPT :], Decided(result.recharge_id, result.status)]
    recharge.in_flight = None
    recharge.requested_at = recharge.deadline_at = None
    if result.status == "succeeded":
        clear(account)
        return
    recharge.failures += 1
    if recharge.failures >= policy.suspend_after_failures:
        recharge.suspended = True
    else:
        delay = policy.recharge_backoff * 2 ** min(recharge.failures - 1, 16)
        recharge.not_before = now + min(delay, policy.recharge_backoff_max)


def clear(account: Account) -> None:
    """Forgets failures: after a success, a reset, changed settings or funding. What is in flight stays in flight."""
    recharge = account.recharge
    recharge.failures = 0
    recharge.not_before = None
    recharge.suspended = False


def forget_days_to_come(account: Account, now: datetime) -> None:
    """Counts from zero where payments were counted to a day that has not come: the clock was ahead then."""
    recharge = account.recharge
    if recharge.counted_on > _day(now):
        recharge.counted_on = ""
        recharge.count_today = recharge.micros_this_month = 0


def window(account: Account, limit: str, now: datetime) -> tuple[str, datetime | None]:
    """Names the window in which a limit holds, and tells when it opens again: None means with other settings only."""
    day = date.fromisoformat(counting_day(account, now))
    if limit == "daily_count_cap":
        return day.isoformat(), _midnight(day + timedelta(days=1))
    if limit == "monthly_amount_cap":
        return f"{day:%Y-%m}", _midnight((day.replace(day=28) + timedelta(days=4)).replace(day=1))
    return account.autopay.set_by if account.autopay else "", None


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _count(account: Account, amount: int, now: datetime) -> None:
    recharge, today = account.recharge, counting_day(account, now)
    if recharge.counted_on[:7] != today[:7]:
        recharge.micros_this_month = 0
    if recharge.counted_on != today:
        recharge.count_today = 0
    recharge.counted_on = today
    recharge.count_today += 1
    recharge.micros_this_month += amount


def counting_day(account: Account, now: datetime) -> str:
    """Names the UTC day that the caps count for; a clock that goes back over midnight does not open a new one."""
    return max(_day(now), account.recharge.counted_on)


def _day(now: datetime) -> str:
    return now.astimezone(UTC).date().isoformat()
