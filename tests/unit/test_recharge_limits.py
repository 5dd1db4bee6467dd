"""How many payments, how much of them, and how large one may be."""

from datetime import timedelta

import pytest

from tests.unit.builders import NOW, TENANT, UNIT, autopay, decided
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


def test_being_blocked_by_the_month_before_any_payment_is_said_with_the_day_it_happened():
    meter = ready(balance=50 * UNIT, settings=autopay(max_per_month_micros=1))
    assert [n.cause for n in meter.debit(40 * UNIT).notices] == [f"monthly_amount_cap:{NOW.date()}"]


def test_switching_off_is_obeyed_whatever_the_minimum_has_become():
    meter = ready(balance=50 * UNIT)
    assert meter.apply(autopay(payment=1, enabled=False)).notices == []
    assert meter.debit(40 * UNIT).requests == []
