"""What the operator can do to an account by hand: adjust its balance, reset its auto-pay."""

import pytest

from tests.unit.builders import NOW, TENANT, UNIT, Meter, adjusted, autopay, funded, reset
from tests.unit.test_recharge import fail, kinds, ready, succeed
from tests.unit.test_timers import DAY


def suspended() -> Meter:
    meter = ready(balance=10 * UNIT)
    for _ in range(3):
        fail(meter)
        meter.wait(meter.now + DAY)
    assert meter.account.recharge.suspended
    return meter


# Adjustments


def test_an_amount_that_is_added_is_a_lot_that_expires_twelve_months_later():
    meter = Meter()
    meter.apply(funded(50))
    meter.now += DAY
    [entry] = meter.apply(adjusted(7.5)).entries
    assert (entry.kind, entry.amount_micros, entry.balance_micros) == ("adjustment", 7_500_000, 57_500_000)
    lot = meter.account.lots[1]
    assert (lot.remaining_micros, lot.expires_at) == (7_500_000, meter.now.replace(year=2027))


def test_an_amount_that_is_added_pays_the_overdraft_first():
    meter = Meter()
    meter.debit(10 * UNIT)
    [entry] = meter.apply(adjusted(7)).entries
    assert (entry.lots, meter.account.overdraft_micros, meter.account.lots) == ([], 3 * UNIT, [])


def test_an_amount_that_is_taken_comes_from_the_lot_that_expires_first_and_then_on_credit():
    meter = Meter()
    meter.apply(funded(50, NOW - DAY))
    meter.apply(funded(60))
    [entry] = meter.apply(adjusted(-80)).entries
    assert [change.amount_micros for change in entry.lots] == [-50 * UNIT, -30 * UNIT]
    assert entry.flags == []
    [entry] = meter.apply(adjusted(-40)).entries
    assert (entry.flags, meter.balance) == (["overdrawn"], -10 * UNIT)


def test_an_adjustment_to_the_trigger_asks_for_a_payment():
    meter = ready()
    message = adjusted(-80)
    [request] = meter.apply(message).requests
    assert request.caused_by == message.id


def test_an_adjustment_does_not_end_a_suspension():
    meter = suspended()
    assert meter.apply(adjusted(-1)).requests == []
    assert meter.account.recharge.suspended


@pytest.mark.parametrize(
    ("units", "reason"), [(0, "zero"), (1_000_000.000001, "above_maximum"), (-1_000_000.000001, "above_maximum")]
)
def test_an_adjustment_that_makes_no_sense_is_refused(units, reason):
    meter = Meter()
    meter.apply(funded(50))
    assert [(n.kind, n.reason) for n in meter.apply(adjusted(units)).notices] == [("command.rejected", reason)]
    assert meter.balance == 50 * UNIT


# Reset


def test_a_reset_ends_a_suspension_and_asks_at_once():
    meter = suspended()
    message = reset()
    [request] = meter.apply(message).requests
    assert (request.sequence, request.caused_by) == (4, message.id)
    assert (meter.account.recharge.failures, meter.account.recharge.reset_by) == (0, message.id)


def test_a_reset_ends_a_pause():
    meter = ready(balance=10 * UNIT)
    fail(meter)
    assert len(meter.apply(reset()).requests) == 1


def test_a_reset_opens_the_caps_that_a_clock_ahead_has_filled_for_a_day_to_come():
    meter = ready(settings=autopay(max_per_day=1, max_per_month_micros=50 * UNIT))
    meter.now = NOW + 300 * DAY
    meter.debit(90 * UNIT)
    meter.now = NOW
    succeed(meter)
    meter.now = NOW + 40 * DAY
    assert meter.debit(60 * UNIT).requests == []
    assert meter.account.recharge.blocked_by == "daily_count_cap"
    assert len(meter.apply(reset()).requests) == 1
    assert meter.account.recharge.counted_on == meter.now.date().isoformat()


def test_a_reset_does_not_open_the_caps_of_today():
    meter = ready(balance=10 * UNIT, settings=autopay(max_per_day=1))
    succeed(meter)
    meter.debit(60 * UNIT)
    assert meter.apply(reset()).requests == []
    assert meter.account.recharge.blocked_by == "daily_count_cap"


def test_a_reset_leaves_what_is_in_flight():
    meter = ready(balance=10 * UNIT)
    meter.wait()
    assert meter.apply(reset()).requests == []
    assert (meter.in_flight, meter.account.recharge.attempt) == (f"{TENANT}:1", 2)


@pytest.mark.parametrize("command", [reset(), adjusted(5), adjusted(-5)])
def test_a_command_about_a_tenant_that_nobody_knows_is_refused(command):
    meter = Meter()
    outcome = meter.apply(command)
    assert [(n.kind, n.reason) for n in outcome.notices] == [("command.rejected", "unknown_tenant")]
    assert meter.account.is_new


def test_an_account_with_settings_alone_is_known():
    meter = Meter()
    meter.apply(autopay(enabled=False))
    assert kinds(meter.apply(reset())) == []
    assert meter.apply(adjusted(5)).entries != []
