"""How many payments, how much of them, and how large one may be."""

from datetime import timedelta

import pytest

from tests.unit.builders import NOW, TENANT, UNIT, Meter, autopay, decided, funded
from tests.unit.test_recharge import kinds, ready, succeed

# Caps


def test_the_daily_cap_blocks_says_so_once_and_ends_with_the_day():
    meter = ready(balance=10 * UNIT, now=NOW.replace(hour=20), settings=autopay(max_per_day=2))
    meter.apply(decided(f"{TENANT}:1"))
    meter.debit(50 * UNIT)
    blocked = meter.apply(decided(f"{TENANT}:2"))
    assert kinds(blocked) == ["recharge.succeeded"]
    first, second = meter.debit(50 * UNIT), meter.debit(1)
    assert [(n.kind, n.reason) for n in first.notices] == [("autopay.blocked", "daily_count_cap")]
    assert (first.requests, second.requests, second.notices) == ([], [], [])
    meter.now = meter.now.replace(hour=0) + timedelta(days=1)
    assert [r.sequence for r in meter.debit(0).requests] == [3]
    succeed(meter)
    assert [r.sequence for r in meter.debit(50 * UNIT).requests] == [4]
    succeed(meter)
    assert meter.debit(50 * UNIT).requests == []


def test_an_account_that_does_not_say_has_the_operators_daily_cap():
    meter = ready(balance=10 * UNIT, recharge_max_per_day=1)
    succeed(meter)
    assert meter.debit(50 * UNIT).requests == []


def test_the_monthly_cap_counts_the_amount_that_would_be_charged_and_ends_with_the_month():
    meter = ready(balance=10 * UNIT, settings=autopay(max_per_month_micros=149 * UNIT))
    succeed(meter)
    meter.debit(50 * UNIT)
    succeed(meter)
    blocked = meter.debit(50 * UNIT)
    assert (blocked.requests, [n.reason for n in blocked.notices]) == ([], ["monthly_amount_cap"])
    meter.now = NOW.replace(month=4, day=1, hour=0)
    assert len(meter.debit(0).requests) == 1


def test_a_monthly_cap_that_is_met_exactly_is_kept():
    meter = ready(balance=10 * UNIT, settings=autopay(max_per_month_micros=100 * UNIT))
    succeed(meter)
    assert len(meter.debit(50 * UNIT).requests) == 1


def test_being_blocked_is_said_again_in_the_next_window():
    meter = ready(balance=10 * UNIT, settings=autopay(max_per_day=1))
    causes = []
    for _ in range(2):
        succeed(meter)
        causes += [n.cause for n in meter.debit(50 * UNIT).notices]
        meter.now += timedelta(days=1)
        meter.debit(0)
    assert causes == ["daily_count_cap:2026-03-15", "daily_count_cap:2026-03-16"]


# Size


@pytest.mark.parametrize(
    ("balance", "units", "expected"),
    [
        *((20, 3, 1), (19, 3, 1), (-29.999999, 3, 1), (-30, 3, 2), (-79.999999, 3, 2), (-80, 3, 3)),
        *((-500, 3, 3), (-500, 1, 1)),
    ],
)
def test_a_payment_is_the_smallest_multiple_that_lifts_the_balance_above_the_trigger(balance, units, expected):
    meter = ready(settings=autopay(max_units=units))
    [command] = meter.debit(100 * UNIT - round(balance * UNIT)).requests
    assert command.amount_micros == expected * 50 * UNIT


def test_an_account_that_does_not_say_has_the_operators_multiple():
    meter = ready(recharge_max_units=2)
    assert meter.debit(500 * UNIT).requests[0].amount_micros == 100 * UNIT


def test_a_clock_that_goes_back_over_midnight_does_not_open_the_day_again():
    meter = ready(balance=10 * UNIT, settings=autopay(max_per_day=1))
    succeed(meter)
    meter.now -= timedelta(days=1)
    assert meter.debit(50 * UNIT).requests == []


def test_being_blocked_by_the_month_is_said_with_the_month_even_before_any_payment():
    meter = ready(balance=50 * UNIT, settings=autopay(max_per_month_micros=1))
    assert [n.cause for n in meter.debit(40 * UNIT).notices] == [f"monthly_amount_cap:{NOW:%Y-%m}"]


def test_switching_off_is_obeyed_whatever_the_minimum_has_become():
    meter = ready(balance=50 * UNIT)
    assert meter.apply(autopay(payment=1, enabled=False)).notices == []
    assert meter.debit(40 * UNIT).requests == []


def test_each_limit_says_once_per_window_that_it_blocks_whatever_happens_in_between():
    meter = ready(balance=10 * UNIT, settings=autopay(max_per_day=1))
    succeed(meter)
    told = [n.cause for n in meter.debit(50 * UNIT).notices]
    for command in (funded(60), autopay(max_per_day=1), autopay(max_per_day=9, max_per_month_micros=50 * UNIT)):
        told += [n.cause for n in meter.apply(command).notices]
        told += [n.cause for n in meter.debit(max(meter.balance - 10 * UNIT, 0)).notices]
    told += [n.cause for n in meter.apply(autopay(max_per_day=1)).notices]
    assert told == ["daily_count_cap:2026-03-15", "monthly_amount_cap:2026-03"]


def test_a_payment_amount_below_what_the_minimum_has_become_is_not_asked_for():
    meter = ready()
    raised = Meter(minimum_funding_micros=60 * UNIT)
    raised.account = meter.account
    settings = autopay(60)
    blocked = raised.debit(80 * UNIT)
    assert (blocked.requests, [n.reason for n in blocked.notices]) == ([], ["below_minimum"])
    assert raised.debit(1).notices == []
    assert len(raised.apply(settings).requests) == 1


# The burst alarm


def bursts(meter: Meter, *minutes: float) -> list[str]:
    """The alarms when a payment succeeds and is used up again after each of these pauses."""
    alarms = []
    for pause in minutes:
        succeed(meter)
        meter.now += timedelta(minutes=pause)
        alarms += [n.cause for n in meter.debit(50 * UNIT).notices if n.reason == "burst"]
    return alarms


def test_the_third_payment_within_ten_minutes_raises_an_alarm_and_is_asked_for_all_the_same():
    meter = ready(balance=10 * UNIT)
    assert bursts(meter, 5, 5) == [f"burst:{TENANT}:3"]
    assert meter.in_flight == f"{TENANT}:3"


def test_payments_that_are_further_apart_raise_none():
    assert bursts(ready(balance=10 * UNIT), 5.01, 5.01, 5.01) == []


def test_a_burst_that_goes_on_is_one_alarm_and_the_next_burst_is_another():
    assert bursts(ready(balance=10 * UNIT), 1, 1, 1, 9, 9, 1, 1) == [f"burst:{TENANT}:3", f"burst:{TENANT}:7"]


# Low balance


def test_a_balance_that_falls_to_the_trigger_is_told_when_no_payment_follows():
    meter = ready(settings=autopay(enabled=False))
    assert [(n.kind, n.reason) for n in meter.debit(80 * UNIT).notices] == [("balance.low", "autopay_off")]
    assert meter.debit(1).notices == []
    assert kinds(ready().debit(80 * UNIT)) == []


def test_without_auto_pay_the_operators_threshold_counts():
    meter = Meter()
    meter.apply(funded(50))
    assert meter.debit(39_999_999).notices == []
    assert kinds(meter.debit(1)) == ["balance.low"]
    silent = Meter(low_balance_micros=0)
    silent.apply(funded(50))
    assert kinds(silent.debit(50 * UNIT - 1)) == []


def test_a_balance_that_falls_to_zero_at_once_is_told_once():
    meter = Meter()
    meter.apply(funded(50))
    assert kinds(meter.debit(50 * UNIT)) == ["balance.zero"]
