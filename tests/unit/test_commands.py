"""An account command is obeyed, or refused with its id and a reason while nothing else changes."""

from datetime import timedelta

import pytest

from processor.contracts.outputs import encode
from processor.domain.account import credit
from processor.domain.bounds import MAX_BALANCE_MICROS
from processor.domain.money import MAX_PAYMENT_MICROS
from tests.unit.builders import NOW, UNIT, Meter, autopay, call, decided, funded, licences


def refusal(meter: Meter, message) -> str | None:
    """The reason why a command was refused; a refusal must be the only thing that happened."""
    before = encode(meter.account)
    outcome = meter.apply(message)
    if [notice.kind for notice in outcome.notices] != ["command.rejected"]:
        return None
    [notice] = outcome.notices
    assert (outcome.entries, outcome.requests, encode(meter.account)) == ([], [], before)
    assert notice.command_id == notice.cause == message.id
    return notice.reason


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (funded(-1), "negative"),
        (funded(0), "below_minimum"),
        (funded(49.999999), "below_minimum"),
        (funded(amount_micros=MAX_PAYMENT_MICROS + 1), "above_maximum"),
        (funded(50, NOW + timedelta(seconds=901)), "in_future"),
        (autopay(-50), "negative"),
        (autopay(50, -0.000001), "negative"),
        (autopay(max_per_month_micros=-1), "negative"),
        (autopay(49.999999), "below_minimum"),
        (autopay(trigger_micros=MAX_PAYMENT_MICROS + 1), "above_maximum"),
        (autopay(payment_amount_micros=MAX_PAYMENT_MICROS + 1), "above_maximum"),
        (autopay(payment_amount_micros=MAX_PAYMENT_MICROS // 2, max_units=3), "above_maximum"),
    ],
)
def test_a_command_out_of_bounds_is_refused(message, reason):
    assert refusal(Meter(), message) == reason


@pytest.mark.parametrize(
    "message",
    [
        funded(50),
        funded(amount_micros=MAX_PAYMENT_MICROS),
        funded(50, NOW + timedelta(seconds=900)),
        autopay(50, 0),
        autopay(trigger_micros=MAX_PAYMENT_MICROS),
        autopay(payment_amount_micros=MAX_PAYMENT_MICROS // 2, max_units=2),
        autopay(max_per_month_micros=0),
    ],
)
def test_a_command_at_its_bounds_is_obeyed(message):
    assert refusal(Meter(), message) is None


def test_the_minimum_is_the_operators():
    assert refusal(Meter(minimum_funding_micros=10 * UNIT), funded(10)) is None
    assert refusal(Meter(minimum_funding_micros=10 * UNIT), funded(9)) == "below_minimum"
    assert refusal(Meter(minimum_funding_micros=0), funded(0)) == "below_minimum"


def test_a_payment_that_an_account_has_no_room_for_is_refused():
    meter = Meter()
    credit(meter.account, "lot-0", MAX_BALANCE_MICROS - 50 * UNIT, NOW)
    assert refusal(meter, funded(50.000001)) == "above_maximum"
    assert refusal(meter, funded(50)) is None
    assert meter.balance == MAX_BALANCE_MICROS


def test_licences_that_newer_ones_have_replaced_before_any_leg_that_still_counts_are_refused():
    meter, day = Meter(), timedelta(days=1)
    assert refusal(meter, licences("MCOPSTN5:GB:1", effective_at=NOW - 96 * day)) is None
    assert refusal(meter, licences("MCOPSTN5:GB:2", effective_at=NOW - 97 * day)) == "too_old"
    assert refusal(meter, licences("MCOPSTN5:GB:2", effective_at=NOW - 96 * day)) is None
    assert refusal(meter, licences("MCOPSTN5:GB:3", effective_at=NOW - 95 * day)) is None
    assert refusal(meter, licences("MCOPSTN5:GB:4", effective_at=NOW - 96 * day)) == "too_old"
    assert [each.licences[0].count for each in meter.account.licences] == [3]


def test_the_first_payment_or_setting_chooses_the_currency():
    for message in (funded(currency="EUR"), autopay(currency="EUR")):
        meter = Meter()
        assert refusal(meter, message) is None
        assert meter.account.currency == "EUR"


def test_a_free_leg_does_not_fix_the_currency():
    meter = Meter()
    meter.apply(call(call_type="user_in"))
    assert refusal(meter, funded(currency="EUR")) is None


def test_an_account_that_money_has_moved_on_keeps_its_currency():
    for message in (funded(), call()):
        meter = Meter()
        meter.apply(message)
        assert refusal(meter, funded(currency="EUR")) == "currency_changed"
        assert refusal(meter, autopay(currency="EUR")) == "currency_changed"


def test_a_recharge_in_flight_fixes_the_currency():
    meter = Meter()
    meter.apply(autopay())
    assert refusal(meter, autopay(currency="EUR")) == "currency_changed"
    assert refusal(meter, funded(currency="EUR")) == "currency_changed"


def test_a_payment_in_another_currency_than_the_auto_pay_settings_is_refused():
    meter = Meter()
    meter.apply(autopay(enabled=False))
    assert refusal(meter, funded(currency="EUR")) == "currency_changed"
    assert refusal(meter, autopay(currency="EUR", enabled=False)) is None
    assert refusal(meter, funded(currency="EUR")) is None


def test_a_payment_is_recorded_under_the_id_of_its_command():
    meter, message = Meter(), funded(50, NOW - timedelta(days=1))
    [entry] = meter.apply(message).entries
    assert (entry.kind, entry.event_id, entry.event_source) == ("fund", message.id, "console")
    assert (entry.occurred_at, entry.recorded_at) == (NOW - timedelta(days=1), NOW)
    assert (entry.amount_micros, entry.balance_micros, entry.usage) == (50 * UNIT, 50 * UNIT, None)


def test_settings_are_kept_as_given_and_leave_no_ledger_entry():
    meter = Meter()
    message = autopay(60, 25, max_per_day=3, max_per_month_micros=600 * UNIT, max_units=2, enabled=False)
    assert meter.apply(message).entries == []
    kept = meter.account.autopay
    assert kept is not None
    assert (kept.enabled, kept.payment_amount_micros, kept.trigger_micros) == (False, 60 * UNIT, 25 * UNIT)
    assert (kept.max_per_day, kept.max_per_month_micros, kept.max_units) == (3, 600 * UNIT, 2)
    assert (kept.payment_method_ref, kept.set_by) == ("card", message.id)


def test_settings_that_are_refused_do_not_end_a_suspension():
    meter = Meter(suspend_after_failures=1)
    meter.apply(autopay())
    meter.apply(decided("contoso:1", "declined"))
    assert refusal(meter, autopay(49)) == "below_minimum"
    assert meter.account.recharge.suspended
