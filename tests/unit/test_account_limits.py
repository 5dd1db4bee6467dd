"""An account ends before its numbers do: there is always room for what cannot be turned away."""

from datetime import timedelta

import pytest

from processor.contracts.deck_columns import MAX_INCREMENT_S, MAX_RATE_MICROS
from processor.contracts.outputs import decode_account, encode
from processor.domain.account import credit
from processor.domain.bounds import MAX_BALANCE_MICROS, MAX_CREDITED_MICROS, MAX_DEBT_MICROS
from processor.domain.errors import InputRejected
from processor.domain.messages import Message
from processor.domain.money import MAX_MICROS, MAX_PAYMENT_MICROS, charge_micros
from processor.domain.tariff import billed_seconds
from processor.settings import Settings
from tests.unit.builders import NOW, TENANT, UNIT, Meter, adjusted, autopay, call, decided, funded, row
from tests.unit.test_corrections import shorter, void

MONTH = timedelta(days=35) - timedelta(seconds=1)
DEAREST = {"connect_fee_micros": MAX_RATE_MICROS, "initial_s": MAX_INCREMENT_S, "increment_s": MAX_INCREMENT_S}


def largest() -> Message:
    """The most that one leg can cost with the settings as they come."""
    return call(MONTH.total_seconds(), NOW - MONTH)


def rejected(meter: Meter, message: Message) -> str:
    before = encode(meter.account)
    with pytest.raises(InputRejected) as caught:
        meter.apply(message)
    assert encode(meter.account) == before
    return caught.value.reason


def refused(meter: Meter, message: Message) -> str | None:
    return next((n.reason for n in meter.apply(message).notices if n.kind == "command.rejected"), None)


def rich(balance_micros: int, **policy) -> Meter:
    """An account with one lot, at the highest prices there are."""
    meter = Meter(row("44", MAX_RATE_MICROS, **DEAREST), row("33", 10 * UNIT, country="FR"), **policy)
    credit(meter.account, "lot-0", balance_micros, NOW)
    return meter


def test_usage_without_end_is_charged_up_to_the_limit_and_then_parked_until_the_debt_is_paid():
    meter = rich(1)
    legs = 0
    while meter.balance >= -MAX_DEBT_MICROS:
        meter.apply(largest())
        legs += 1
    assert legs == 6
    assert rejected(meter, largest()) == "balance_limit"
    assert rejected(meter, call(1, callee="+33123456789")) == "balance_limit"
    assert meter.apply(call(60, call_type="user_in")).entries[0].amount_micros == 0
    while meter.balance < -MAX_DEBT_MICROS:
        meter.apply(funded(amount_micros=MAX_PAYMENT_MICROS))
    meter.apply(largest())


def test_an_ordinary_price_reaches_the_limit_too_and_nothing_stops():
    """Ten a minute, for weeks on end, by one tenant."""
    meter = rich(1)
    calls = 0
    while meter.balance >= -MAX_DEBT_MICROS:
        meter.apply(call(MONTH.total_seconds(), NOW - MONTH, callee="+33123456789"))
        calls += 1
    assert calls == 5953
    assert rejected(meter, call(60, callee="+33123456789")) == "balance_limit"


def test_the_largest_charge_that_can_be_set_fits_beside_the_largest_debt():
    def upper(name: str) -> int:
        return next(bound.le for bound in Settings.model_fields[name].metadata if hasattr(bound, "le"))

    days = max(upper("deduplication_days"), upper("correction_days"))
    seconds = days * 86_400 + upper("max_future_s") + 1
    dearest = row("44", MAX_RATE_MICROS, **DEAREST)
    charge = charge_micros(billed_seconds(seconds, dearest), MAX_RATE_MICROS, MAX_RATE_MICROS)
    assert MAX_DEBT_MICROS + charge <= MAX_MICROS


def test_a_wrong_price_is_undone_beyond_the_limit_by_voids_and_corrections():
    meter = rich(1)
    leg = largest()
    meter.apply(leg)
    other = largest()
    meter.apply(other)
    while meter.balance >= -MAX_DEBT_MICROS:
        meter.apply(largest())
    assert [entry.kind for entry in meter.apply(shorter(other, 60)).entries] == ["refund", "charge"]
    assert [entry.kind for entry in meter.apply(void(leg)).entries] == ["refund"]


def test_a_correction_that_would_leave_too_large_a_debt_is_parked():
    meter = rich(1)
    cheap = call(60, callee="+33123456789")
    meter.apply(cheap)
    while meter.balance >= -MAX_DEBT_MICROS:
        meter.apply(largest())
    assert rejected(meter, shorter(cheap, 120)) == "balance_limit"
    assert [entry.kind for entry in meter.apply(void(cheap)).entries] == ["refund"]


def test_a_payment_in_flight_is_credited_however_much_was_paid_in_meanwhile():
    meter = rich(MAX_BALANCE_MICROS - 2 * MAX_PAYMENT_MICROS)
    meter.apply(autopay(payment_amount_micros=MAX_PAYMENT_MICROS, trigger_micros=MAX_PAYMENT_MICROS))
    while meter.balance > MAX_PAYMENT_MICROS:
        meter.debit(min(meter.balance, 10**15))
    assert meter.in_flight == f"{TENANT}:1"
    credit(meter.account, "lot-1", MAX_BALANCE_MICROS - MAX_PAYMENT_MICROS - meter.balance, NOW)
    assert refused(meter, funded(amount_micros=MAX_PAYMENT_MICROS)) is None
    assert meter.balance == MAX_BALANCE_MICROS
    assert refused(meter, funded(50)) == "above_maximum"
    assert refused(meter, adjusted(0.000001)) == "above_maximum"
    meter.apply(decided(f"{TENANT}:1", amount_micros=MAX_PAYMENT_MICROS))
    assert meter.balance == MAX_MICROS
    assert decode_account(encode(meter.account)) == meter.account


def test_a_charge_is_not_given_back_where_there_is_no_room_for_it():
    meter = rich(MAX_BALANCE_MICROS)
    leg, free = call(60, callee="+33123456789"), call(60, call_type="user_in")
    meter.apply(leg)
    meter.apply(free)
    assert refused(meter, adjusted(10)) is None
    assert meter.balance == MAX_BALANCE_MICROS
    assert rejected(meter, void(leg)) == "balance_limit"
    assert rejected(meter, shorter(leg, 120)) == "balance_limit"
    assert [entry.amount_micros for entry in meter.apply(void(free)).entries] == [0]
    meter.apply(call(60, callee="+33123456789"))
    assert [entry.kind for entry in meter.apply(void(leg)).entries] == ["refund"]


def test_an_adjustment_takes_no_more_than_an_account_may_owe():
    meter = rich(1)
    while meter.balance >= -MAX_DEBT_MICROS + MAX_PAYMENT_MICROS:
        meter.debit(min(meter.balance + MAX_DEBT_MICROS, 10**15))
    assert refused(meter, adjusted(0, amount_micros=-(meter.balance + MAX_DEBT_MICROS) - 1)) == "above_maximum"


def test_a_lifetime_of_credits_ends_with_funds_and_never_with_a_payment():
    meter = rich(1)
    meter.account.credited_micros = MAX_CREDITED_MICROS - 50 * UNIT
    meter.account.debited_micros = meter.account.credited_micros - meter.balance
    meter.apply(autopay(50, 20))
    assert refused(meter, funded(50.000001)) == "above_maximum"
    assert refused(meter, funded(50)) is None
    assert refused(meter, adjusted(0.000001)) == "above_maximum"
    meter.apply(decided(f"{TENANT}:1"))
    assert meter.account.credited_micros == MAX_CREDITED_MICROS + 50 * UNIT
    assert decode_account(encode(meter.account)) == meter.account


def test_the_payments_of_a_month_end_before_their_sum_outgrows_the_exact_range_of_numbers():
    meter = rich(1, recharge_max_per_day=10**6)
    meter.apply(autopay(payment_amount_micros=MAX_PAYMENT_MICROS, trigger_micros=0))
    meter.debit(2)
    meter.account.recharge.micros_this_month = MAX_MICROS - MAX_PAYMENT_MICROS
    meter.apply(decided(f"{TENANT}:1", amount_micros=MAX_PAYMENT_MICROS))
    meter.debit(2 * MAX_PAYMENT_MICROS)
    assert meter.in_flight == f"{TENANT}:2"
    blocked = meter.apply(decided(f"{TENANT}:2", amount_micros=MAX_PAYMENT_MICROS))
    assert [(n.kind, n.reason) for n in blocked.notices if n.kind == "autopay.blocked"] == [
        ("autopay.blocked", "monthly_amount_cap")
    ]
    assert decode_account(encode(meter.account)) == meter.account


def test_one_payment_is_never_larger_than_the_largest_even_if_the_operator_allows_more_units_later():
    meter = rich(1)
    meter.apply(autopay(payment_amount_micros=MAX_PAYMENT_MICROS // 2, trigger_micros=MAX_PAYMENT_MICROS))
    meter.apply(decided(f"{TENANT}:1", amount_micros=MAX_PAYMENT_MICROS // 2))
    more = rich(1, recharge_max_units=10)
    more.account = meter.account
    more.apply(decided(f"{TENANT}:2", amount_micros=MAX_PAYMENT_MICROS // 2))
    outcome = more.debit(5 * MAX_PAYMENT_MICROS)
    assert [request.amount_micros for request in outcome.requests] == [MAX_PAYMENT_MICROS]
