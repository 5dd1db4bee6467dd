"""Auto-pay charges at the trigger, one recharge at a time, and stops where a guard says so."""

from datetime import datetime, timedelta

import pytest

from processor.domain.account import Account
from processor.domain.errors import InputRejected, InvariantViolated
from processor.domain.recharge import DECIDED_KEPT, request
from tests.unit.builders import NOW, TENANT, UNIT, Meter, autopay, decided, funded

HOUR = timedelta(hours=1)


def ready(balance: int = 100 * UNIT, now: datetime = NOW, settings=None, **policy) -> Meter:
    """An account with this balance and auto-pay at 50 when it falls to 20."""
    meter = Meter(now=now, **policy)
    meter.apply(funded(100, now))
    meter.apply(settings or autopay())
    meter.debit(100 * UNIT - balance)
    return meter


def kinds(outcome) -> list[str]:
    return [notice.kind for notice in outcome.notices]


def fail(meter: Meter, status: str = "declined"):
    assert meter.in_flight is not None
    return meter.apply(decided(meter.in_flight, status, meter.account.recharge.amount_micros / UNIT))


def succeed(meter: Meter):
    assert meter.in_flight is not None
    amount = meter.account.recharge.amount_micros / UNIT
    return meter.apply(decided(meter.in_flight, "succeeded", amount, decided_at=meter.now))


# The trigger


@pytest.mark.parametrize(("balance", "asked"), [(20_000_001, 0), (20_000_000, 1), (19_999_999, 1)])
def test_the_trigger_fires_when_the_balance_falls_to_it(balance, asked):
    meter = ready()
    assert len(meter.debit(100 * UNIT - balance).requests) == asked


def test_a_trigger_of_zero_fires_at_zero():
    meter = ready(settings=autopay(50, 0))
    assert meter.debit(100 * UNIT - 1).requests == []
    assert len(meter.debit(1).requests) == 1


def test_a_request_says_what_to_charge_and_why():
    meter = ready(balance=21 * UNIT)
    outcome = meter.debit(2 * UNIT)
    [command] = outcome.requests
    assert (command.recharge_id, command.sequence, command.attempt) == (f"{TENANT}:1", 1, 1)
    assert (command.amount_micros, command.currency, command.payment_method_ref) == (50 * UNIT, "USD", "card")
    assert (command.balance_micros, command.trigger_micros) == (19 * UNIT, 20 * UNIT)
    assert (command.requested_at, command.deadline_at) == (NOW, NOW + timedelta(seconds=300))
    assert command.caused_by == outcome.entries[0].event_id


def test_a_success_that_lands_exactly_on_the_trigger_is_followed_by_the_next_payment():
    meter = ready(balance=-30 * UNIT)
    outcome = succeed(meter)
    assert meter.balance == 20 * UNIT
    assert [(r.recharge_id, r.caused_by) for r in outcome.requests] == [(f"{TENANT}:2", outcome.entries[0].event_id)]
    assert succeed(meter).requests == []
    assert meter.balance == 70 * UNIT


def test_a_success_credits_a_lot_dated_by_the_payment():
    meter = ready(balance=10 * UNIT)
    before = NOW - timedelta(days=3)
    outcome = meter.apply(decided(f"{TENANT}:1", decided_at=before))
    assert [(e.kind, e.amount_micros, e.occurred_at) for e in outcome.entries] == [("recharge", 50 * UNIT, before)]
    assert kinds(outcome) == ["recharge.succeeded"]
    assert [(lot.purchased_at, lot.remaining_micros) for lot in meter.account.lots] == [
        (before, 50 * UNIT),
        (NOW, 10 * UNIT),
    ]


@pytest.mark.parametrize("ahead", [timedelta(seconds=901), timedelta(days=400)])
def test_money_taken_by_a_worker_whose_clock_is_ahead_is_credited_as_of_now(ahead):
    meter = ready(balance=20 * UNIT, now=NOW)
    meter.now += HOUR
    outcome = meter.apply(decided(f"{TENANT}:1", decided_at=meter.now + ahead))
    assert (meter.in_flight, meter.balance) == (None, 70 * UNIT)
    assert [(e.kind, e.amount_micros, e.occurred_at) for e in outcome.entries] == [("recharge", 50 * UNIT, meter.now)]
    assert max(lot.purchased_at for lot in meter.account.lots) == meter.now
    meter.debit(51 * UNIT)
    assert meter.in_flight == f"{TENANT}:2"
    meter.apply(decided(f"{TENANT}:2", "declined", decided_at=meter.now + ahead))
    assert (meter.in_flight, meter.account.recharge.failures) == (None, 1)


def test_switching_auto_pay_on_below_the_trigger_charges_at_once():
    assert len(Meter().apply(autopay()).requests) == 1


def test_auto_pay_that_is_off_or_was_never_set_charges_nothing():
    meter = Meter()
    assert meter.debit(1).requests == []
    assert meter.apply(autopay(enabled=False)).requests == []
    assert meter.debit(1).requests == []


# One in flight


def test_while_a_recharge_is_in_flight_nothing_asks_for_another():
    meter = ready(balance=20 * UNIT)
    for message in (autopay(60, 30), funded(50), autopay(enabled=False), autopay()):
        assert meter.apply(message).requests == []
    assert meter.debit(100 * UNIT).requests == []
    assert meter.in_flight == f"{TENANT}:1"


def test_asking_for_a_second_recharge_stops_the_worker():
    meter = ready(balance=20 * UNIT)
    with pytest.raises(InvariantViolated):
        request(meter.account, "event", NOW, meter.tariff.policy)
    with pytest.raises(InvariantViolated):
        request(Account(tenant_id=TENANT, currency="USD"), "event", NOW, meter.tariff.policy)


def test_settings_changed_in_flight_apply_from_the_next_recharge():
    meter = ready(balance=20 * UNIT)
    meter.apply(autopay(60, 90))
    [command] = meter.apply(decided(f"{TENANT}:1", units=50)).requests
    assert command.amount_micros == 60 * UNIT


def test_a_success_after_auto_pay_was_switched_off_still_credits():
    meter = ready(balance=20 * UNIT)
    meter.apply(autopay(enabled=False))
    outcome = succeed(meter)
    assert (meter.balance, outcome.requests) == (70 * UNIT, [])


# Results


def test_a_repeated_result_is_ignored_and_a_different_one_is_a_conflict():
    meter = ready(balance=20 * UNIT)
    succeed(meter)
    again = meter.apply(decided(f"{TENANT}:1"))
    assert (again.entries, again.requests, again.notices) == ([], [], [])
    assert rejection(meter, decided(f"{TENANT}:1", "declined")) == "conflicting_result"
    assert meter.balance == 70 * UNIT


@pytest.mark.parametrize("status", ["declined", "failed"])
def test_a_success_after_a_failure_of_the_same_recharge_is_a_conflict(status):
    meter = ready(balance=20 * UNIT)
    fail(meter, status)
    assert rejection(meter, decided(f"{TENANT}:1")) == "conflicting_result"


@pytest.mark.parametrize("status", ["succeeded", "declined", "failed"])
def test_a_result_of_a_recharge_that_nobody_asked_for_is_unknown(status):
    assert rejection(Meter(), decided(f"{TENANT}:1", status)) == "unknown_recharge"
    assert rejection(ready(balance=20 * UNIT), decided(f"{TENANT}:2", status)) == "unknown_recharge"
    assert rejection(ready(balance=20 * UNIT), decided("fabrikam:1", status)) == "unknown_recharge"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"units": 50.000001}, "conflicting_result"),
        ({"units": 49}, "conflicting_result"),
        ({"currency": "EUR"}, "currency_mismatch"),
    ],
)
@pytest.mark.parametrize("status", ["succeeded", "declined"])
def test_a_result_about_something_else_than_was_asked_for_is_parked(fields, reason, status):
    meter = ready(balance=20 * UNIT)
    assert rejection(meter, decided(f"{TENANT}:1", status, **fields)) == reason
    assert (meter.in_flight, meter.balance) == (f"{TENANT}:1", 20 * UNIT)


def test_old_results_are_forgotten_but_never_credited_twice():
    meter = ready(balance=20 * UNIT, recharge_max_per_day=100)
    for _ in range(DECIDED_KEPT + 1):
        succeed(meter)
        meter.debit(50 * UNIT)
    assert len(meter.account.recharge.decided) == DECIDED_KEPT
    assert rejection(meter, decided(f"{TENANT}:1")) == "unknown_recharge"
    assert meter.apply(decided(f"{TENANT}:2")).entries == []


def rejection(meter: Meter, message) -> str:
    with pytest.raises(InputRejected) as caught:
        meter.apply(message)
    return caught.value.reason


# Back-off and suspension


def test_the_third_decline_in_a_row_suspends_auto_pay():
    meter = ready(balance=10 * UNIT)
    notices = []
    for _ in range(3):
        notices.append(kinds(fail(meter)))
        meter.now += 24 * HOUR
        meter.debit(0)
    assert notices == [["recharge.failed"], ["recharge.failed"], ["recharge.failed", "autopay.suspended"]]
    assert (meter.in_flight, meter.account.recharge.suspended) == (None, True)
    meter.now += timedelta(days=365)
    assert meter.debit(1).requests == []


@pytest.mark.parametrize("status", ["declined", "failed"])
def test_the_pause_after_a_failure_doubles_up_to_its_cap(status):
    meter = ready(balance=10 * UNIT, suspend_after_failures=9)
    for hours in (1, 2, 4, 8, 16, 24, 24):
        fail(meter, status)
        meter.now += hours * HOUR - timedelta(microseconds=1)
        assert meter.debit(0).requests == []
        meter.now += timedelta(microseconds=1)
        assert len(meter.debit(0).requests) == 1


def test_a_success_forgets_the_failures_before_it():
    meter = ready(balance=10 * UNIT)
    for _ in range(2):
        fail(meter)
        meter.now += 24 * HOUR
        meter.debit(0)
    succeed(meter)
    meter.debit(50 * UNIT)
    assert kinds(fail(meter)) == ["recharge.failed"]
    assert meter.account.recharge.not_before == meter.now + HOUR


def failed(times: int) -> Meter:
    """An account that owes, after so many payments in a row have failed."""
    meter = ready(balance=-60 * UNIT)
    for _ in range(times):
        fail(meter)
        if meter.account.recharge.failures < times:
            meter.now += 24 * HOUR
            meter.debit(0)
    assert meter.in_flight is None
    return meter


@pytest.mark.parametrize("failures", [1, 3])
def test_settings_that_are_saved_again_as_they_are_end_neither_the_pause_nor_the_suspension(failures):
    meter = failed(failures)
    assert meter.apply(autopay()).requests == []
    assert meter.account.recharge.failures == failures
    assert len(meter.apply(autopay(payment_method_ref="another card")).requests) == 1


@pytest.mark.parametrize("remedy", [autopay(50, 21), autopay(60, 30), autopay(max_per_day=9), funded(50)])
@pytest.mark.parametrize("failures", [1, 3])
def test_changed_settings_or_a_payment_by_hand_end_the_pause_and_the_suspension(remedy, failures):
    meter = failed(failures)
    assert len(meter.apply(remedy).requests) == 1
    assert meter.account.recharge.failures == 0
