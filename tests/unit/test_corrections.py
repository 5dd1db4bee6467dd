"""A correction takes the whole charge back, money to its lots and minutes to their month, and charges the leg anew."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from processor.domain.errors import InputRejected
from processor.domain.ledger import Entry
from processor.domain.messages import CallUsage
from tests.unit.builders import NOW, UNIT, Meter, autopay, call, conference, decided, funded, licences, row

DAY = timedelta(days=1)


def again(original, kind: str = "correction", **fields: Any):
    """The record that corrects or voids another one, with some fields changed."""
    make = call if isinstance(original, CallUsage) else conference
    defaults = {name: getattr(original.data, name) for name in original.data.__struct_fields__}
    data = {**defaults, "record_kind": kind, "corrects": original.id, **fields}
    return make(**data)


def void(original):
    return again(original, "void")


def shorter(original, seconds: int, **fields: Any):
    """The same leg, ended earlier or later."""
    ended_at = original.data.answered_at + timedelta(seconds=seconds)
    return again(original, ended_at=ended_at, connected_ms=seconds * 1000, **fields)


def moves(entries: list[Entry]) -> list[tuple[str, int]]:
    return [(entry.kind, entry.amount_micros) for entry in entries]


def rejected(meter: Meter, message) -> str:
    before = (meter.balance, meter.account.revision)
    with pytest.raises(InputRejected) as caught:
        meter.apply(message)
    assert (meter.balance, meter.account.revision) == before
    return caught.value.reason


def test_a_correction_yields_a_refund_and_a_charge_and_a_void_a_refund():
    meter = Meter()
    meter.apply(funded(50))
    leg = call(600, NOW - timedelta(hours=1))
    meter.apply(leg)
    corrected = shorter(leg, 60)
    entries = meter.apply(corrected).entries
    assert moves(entries) == [("refund", 1_000_000), ("charge", -100_000)]
    assert {(entry.event_id, entry.usage.corrects) for entry in entries} == {(corrected.id, leg.id)}
    assert [(entry.usage.decision, entry.usage.reason) for entry in entries] == [
        ("credits", "correction"),
        ("credits", "pay_as_you_go"),
    ]
    [refund] = meter.apply(void(leg)).entries
    assert moves([refund]) == [("refund", 100_000)]
    assert (refund.usage.reason, meter.balance) == ("void", 50 * UNIT)


def test_the_latest_version_is_corrected_by_whatever_name_it_is_called():
    meter = Meter()
    leg = call(600, NOW - timedelta(hours=1))
    meter.apply(leg)
    first = shorter(leg, 120)
    meter.apply(first)
    second = shorter(leg, 180)
    assert moves(meter.apply(second).entries) == [("refund", 200_000), ("charge", -300_000)]
    by_first = again(
        first, corrects=first.id, connected_ms=60_000, ended_at=leg.data.answered_at + timedelta(minutes=1)
    )
    assert moves(meter.apply(by_first).entries) == [("refund", 300_000), ("charge", -100_000)]
    assert meter.balance == -100_000


def test_a_voided_leg_can_be_charged_again_by_a_correction():
    meter = Meter()
    leg = call(60, NOW - timedelta(hours=1))
    meter.apply(leg)
    meter.apply(void(leg))
    assert moves(meter.apply(void(leg)).entries) == [("refund", 0)]
    assert moves(meter.apply(shorter(leg, 120)).entries) == [("refund", 0), ("charge", -200_000)]


def test_money_returns_to_the_lots_it_came_from_also_to_one_that_is_used_up():
    meter = Meter()
    meter.apply(funded(50, NOW - 30 * DAY))
    meter.apply(funded(60))
    first, second = meter.account.lots
    leg = call(600 * 60, NOW - timedelta(hours=11))  # 60 of it: 50 from the first lot, 10 from the second
    meter.apply(leg)
    [refund] = meter.apply(void(leg)).entries
    assert {change.lot_id: change.amount_micros for change in refund.lots} == {
        first.lot_id: 50 * UNIT,
        second.lot_id: 10 * UNIT,
    }
    reopened = meter.account.lots[0]
    assert (reopened.lot_id, reopened.remaining_micros, reopened.expires_at) == (
        first.lot_id,
        50 * UNIT,
        first.expires_at,
    )


def test_money_that_returns_to_a_lot_whose_date_has_passed_expires_at_once():
    meter = Meter()
    meter.apply(funded(50, NOW - 360 * DAY))
    leg = call(500 * 60, NOW - timedelta(hours=9))
    meter.apply(leg)
    meter.now = NOW + 10 * DAY
    entries = meter.apply(void(leg)).entries
    assert moves(entries) == [("refund", 50 * UNIT), ("expiry", -50 * UNIT)]
    assert meter.balance == 0


def test_money_that_returns_pays_what_is_owed_first():
    meter = Meter()
    meter.apply(funded(50))
    leg = call(500 * 60, NOW - timedelta(hours=9))
    meter.apply(leg)
    meter.debit(20 * UNIT)
    [refund] = meter.apply(void(leg)).entries
    assert sum(change.amount_micros for change in refund.lots) == 30 * UNIT
    assert (meter.balance, meter.account.overdraft_micros) == (30 * UNIT, 0)


def test_overdraft_that_a_purchase_has_paid_since_returns_as_a_lot_as_old_as_the_charge():
    meter = Meter()
    leg = call(300 * 60, NOW - timedelta(hours=6))
    meter.apply(leg)
    meter.apply(funded(50))
    meter.apply(void(leg))
    assert [(lot.purchased_at, lot.remaining_micros) for lot in meter.account.lots] == [
        (leg.data.answered_at, 30 * UNIT),
        (NOW, 20 * UNIT),
    ]


def test_minutes_return_to_the_month_they_were_taken_from_and_the_corrected_leg_counts_in_its_own():
    meter = Meter()
    meter.apply(licences("MCOPSTN5:GB:1"))
    february = datetime.fromisoformat("2026-02-28T23:30:00Z")
    leg = call(100 * 60, february, user_country="GB", capability="MCOPSTN5")
    meter.apply(leg)
    march = february + timedelta(hours=1)
    moved = again(leg, answered_at=march, ended_at=march + timedelta(minutes=30), connected_ms=1_800_000)
    refund, charge = meter.apply(moved).entries
    assert (refund.usage.pool, refund.usage.pool_minutes) == ("MCOPSTN5/GB", -100)
    assert charge.usage.pool_minutes == 30
    assert [(use.month, use.used_minutes) for use in meter.account.pools] == [("2026-02", 0), ("2026-03", 30)]


def test_a_users_own_minutes_return_to_the_user():
    meter = Meter()
    meter.apply(licences("MCOPSTN8:GB:1"))
    leg = call(100 * 60, user_country="GB", capability="MCOPSTN8", user_id="a/b")
    meter.apply(leg)
    meter.apply(void(leg))
    [use] = meter.memory.own_pools(leg.data.tenant_id, "a/b")
    assert use.used_minutes == 0


def test_a_split_leg_returns_minutes_and_money():
    meter = Meter()
    meter.apply(licences("MCOMEETADD:GB:1"))
    leg = conference(62 * 60)
    assert meter.apply(leg).entries[0].usage.decision == "split"
    meter.apply(void(leg))
    assert (meter.balance, meter.account.pools[0].used_minutes) == (0, 0)


@pytest.mark.parametrize(
    "fields",
    [{"credits_licensed": False}, {"call_type": "user_in"}, {"callee": "+449098765432"}, {"emergency": True}],
)
def test_a_leg_that_was_free_or_refused_can_be_corrected_into_one_that_is_charged(fields):
    meter = Meter()
    leg = call(60, **fields)
    meter.apply(leg)
    plain = {"credits_licensed": True, "call_type": "user_out", "callee": "+442079460000", "emergency": False}
    assert moves(meter.apply(again(leg, **plain)).entries) == [("refund", 0), ("charge", -100_000)]


def test_a_correction_may_lift_the_balance_above_the_trigger_or_push_it_below():
    meter = Meter()
    meter.apply(funded(50))
    meter.apply(autopay(payment=50, trigger=20))
    leg = call(290 * 60, NOW - timedelta(hours=6))
    meter.apply(leg)
    longer = meter.apply(shorter(leg, 310 * 60))
    assert [request.amount_micros for request in longer.requests] == [50 * UNIT]
    meter.apply(decided(meter.in_flight))
    assert meter.apply(void(leg)).requests == []
    assert meter.balance == 100 * UNIT


def test_the_balance_is_judged_once_after_refund_and_charge():
    meter = Meter()
    meter.apply(funded(50))
    meter.apply(autopay(payment=50, trigger=20))
    meter.apply(leg := call(300 * 60, NOW - timedelta(hours=6)))
    meter.apply(decided(meter.in_flight))
    meter.apply(other := call(480 * 60, NOW - timedelta(hours=9)))  # 70 - 48 = 22
    outcome = meter.apply(shorter(other, 481 * 60))  # 22 -> 70 -> 21.9
    assert (outcome.requests, outcome.notices, meter.balance) == ([], [], 21_900_000)
    assert leg.id != other.id


def test_a_correction_of_an_unknown_event_of_another_tenant_or_source_is_parked():
    meter = Meter()
    leg = call(60)
    assert rejected(meter, void(leg)) == "unknown_original"
    assert rejected(meter, again(leg, corrects=None)) == "unknown_original"
    meter.apply(leg)
    foreign = void(leg)
    foreign.source = "somebody else"
    assert rejected(meter, foreign) == "unknown_original"
    meter.account.tenant_id = "fabrikam"
    assert rejected(meter, void(leg)) == "unknown_original"


@pytest.mark.parametrize(("days", "reason"), [(94, None), (96, "too_old")])
def test_an_original_can_be_corrected_for_ninety_five_days(days, reason):
    meter = Meter()
    leg = call(60)
    meter.apply(leg)
    meter.now = NOW + timedelta(days=days)
    if reason is None:
        assert moves(meter.apply(shorter(leg, 120)).entries) == [("refund", 100_000), ("charge", -200_000)]
    else:
        assert rejected(meter, void(leg)) == reason


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"callee": "+99912345678"}, "no_rate"),
        ({"callee": "anonymous"}, "number_invalid"),
        ({"connected_ms": 90_000}, "inconsistent_times"),
        ({"answered_at": NOW + DAY, "ended_at": NOW + DAY, "connected_ms": 0}, "in_future"),
        ({"answered_at": NOW - 96 * DAY, "ended_at": NOW - 96 * DAY, "connected_ms": 0}, "too_old"),
    ],
)
def test_a_correction_that_cannot_be_charged_leaves_the_first_charge_as_it_is(fields, reason):
    meter = Meter()
    leg = call(60)
    meter.apply(leg)
    assert rejected(meter, again(leg, **fields)) == reason
    assert meter.balance == -100_000


def test_a_correction_is_priced_at_its_own_start():
    change = NOW - timedelta(hours=2)
    meter = Meter(row("44", 100_000, effective_to=change), row("44", 200_000, effective_from=change))
    leg = call(60, NOW - timedelta(hours=3))
    meter.apply(leg)
    later = NOW - timedelta(hours=1)
    moved = again(leg, answered_at=later, ended_at=later + timedelta(seconds=60))
    assert moves(meter.apply(moved).entries) == [("refund", 100_000), ("charge", -200_000)]
