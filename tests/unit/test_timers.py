"""Time alone expires lots, gives notice, asks again, ends pauses and opens blocked windows; and never twice."""

from datetime import UTC, datetime, timedelta

import pytest

from processor.contracts.outputs import decode_account, encode
from processor.domain.account import Account
from processor.domain.messages import Tick
from processor.domain.metering import apply
from processor.domain.posting import CLOCK
from processor.domain.timers import next_due
from tests.unit.builders import NOW, TENANT, UNIT, Meter, adjusted, autopay, call, decided, funded, tariff
from tests.unit.test_recharge import fail, kinds, ready, succeed

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
DEADLINE = timedelta(seconds=300)


def due(meter: Meter) -> datetime | None:
    return next_due(meter.account, meter.tariff.policy)


def test_an_account_that_waits_for_nothing_needs_no_clock():
    assert due(Meter()) is None
    meter = Meter()
    meter.debit(1)
    assert due(meter) is None


@pytest.mark.parametrize("before", ["funded", "in flight", "backing off", "blocked"])
def test_a_tick_before_its_time_changes_nothing(before):
    meter = ready(balance=100 * UNIT if before == "funded" else 20 * UNIT, settings=autopay(max_per_day=1))
    if before == "backing off":
        fail(meter)
    if before == "blocked":
        succeed(meter)
        meter.debit(60 * UNIT)
        assert meter.account.recharge.blocked_by == "daily_count_cap"
    state, at = encode(meter.account), due(meter)
    assert at is not None
    meter.now = at - timedelta(microseconds=1)
    outcome = meter.apply(Tick())
    assert (outcome.entries, outcome.requests, outcome.notices) == ([], [], [])
    assert encode(meter.account) == state


# Lots


def test_a_lot_is_announced_30_days_before_and_forfeited_after_twelve_months_each_once():
    meter = Meter(now=datetime(2024, 2, 29, 15, tzinfo=UTC))
    meter.apply(funded(50, meter.now))
    [lot] = meter.account.lots
    assert due(meter) == datetime(2025, 1, 29, 15, tzinfo=UTC)
    [announced] = meter.wait()
    assert [(n.kind, n.lot_id, n.amount_micros) for n in announced.notices] == [("lot.expiring", lot.lot_id, 50 * UNIT)]
    assert due(meter) == datetime(2025, 2, 28, 15, tzinfo=UTC)
    [expired] = meter.wait()
    [entry] = expired.entries
    assert (entry.kind, entry.amount_micros, entry.occurred_at) == ("expiry", -50 * UNIT, lot.expires_at)
    assert (entry.event_id, entry.event_source) == (f"timer:expiry:{lot.lot_id}", CLOCK)
    assert kinds(expired) == ["lot.expired", "balance.zero"]
    assert due(meter) is None


def test_a_used_up_lot_is_neither_announced_nor_forfeited():
    meter = Meter()
    meter.apply(funded(50))
    meter.debit(50 * UNIT)
    assert due(meter) is None


def test_a_purchase_that_is_told_of_late_is_announced_at_once():
    meter = Meter()
    meter.apply(funded(50, NOW - 350 * DAY))
    assert due(meter) == meter.account.lots[0].expires_at - 30 * DAY < NOW
    assert kinds(meter.apply(Tick())) == ["lot.expiring"]


def test_several_lots_are_announced_one_by_one():
    meter = Meter()
    for days in (0, 1, 2):
        meter.apply(funded(50, NOW - days * DAY))
    outcomes = meter.wait(NOW + 400 * DAY)
    assert [kinds(outcome) for outcome in outcomes] == [["lot.expiring"]] * 3 + [["lot.expired"]] * 2 + [
        ["lot.expired", "balance.zero"]
    ]


def test_what_a_void_brings_back_is_announced_and_forfeited_anew_and_told_as_something_new():
    meter = Meter()
    meter.apply(funded(50, NOW - 340 * DAY))
    [lot] = meter.account.lots
    notices = meter.apply(Tick()).notices
    spent = meter.debit(50 * UNIT)
    leg = call(60, NOW - timedelta(seconds=60), record_kind="void", corrects=spent.entries[0].event_id)
    meter.apply(leg)
    notices += meter.apply(Tick()).notices
    second = meter.debit(20 * UNIT).entries[0].event_id
    for outcome in meter.wait(lot.expires_at):
        notices += outcome.notices
    notices += meter.apply(call(60, NOW, record_kind="void", corrects=second)).notices
    assert [(n.kind, n.lot_id, n.amount_micros) for n in notices if n.lot_id] == [
        ("lot.expiring", lot.lot_id, 50 * UNIT),
        ("lot.expiring", lot.lot_id, 50 * UNIT),
        ("lot.expired", lot.lot_id, 30 * UNIT),
        ("lot.expired", lot.lot_id, 20 * UNIT),
    ]
    assert len({(n.kind, n.cause) for n in notices}) == len(notices)


def test_an_expiry_that_lowers_the_balance_to_the_trigger_asks_for_a_payment():
    meter = Meter()
    meter.apply(funded(50))
    meter.apply(autopay())
    lot_id = meter.account.lots[0].lot_id
    *_, last = meter.wait(NOW + 366 * DAY)[:2]
    assert [(r.recharge_id, r.caused_by) for r in last.requests] == [(f"{TENANT}:1", f"timer:expiry:{lot_id}")]


# Deadlines


def test_a_deadline_that_passes_asks_for_the_same_recharge_again_and_says_so_once():
    meter = ready(balance=20 * UNIT)
    meter.apply(autopay(75, 30, payment_method_ref="another card"))
    first, second = meter.wait(NOW + 3 * DEADLINE)
    assert kinds(first) == ["recharge.unknown"]
    assert kinds(second) == []
    [again], [later] = first.requests, second.requests
    assert [(r.recharge_id, r.sequence, r.attempt) for r in (again, later)] == [
        (f"{TENANT}:1", 1, 2),
        (f"{TENANT}:1", 1, 3),
    ]
    assert (again.amount_micros, again.currency, again.payment_method_ref) == (50 * UNIT, "USD", "card")
    assert (again.requested_at, again.deadline_at) == (NOW + DEADLINE, NOW + 3 * DEADLINE)
    assert again.caused_by == f"timer:deadline:{TENANT}:1#1"
    assert meter.account.recharge.count_today == 1


def test_the_time_to_answer_doubles_up_to_an_hour_so_a_silent_provider_is_not_flooded():
    meter = ready(balance=20 * UNIT)
    asked = [outcome.requests[0].requested_at for outcome in meter.wait(NOW + DAY)]
    minutes = [(later - earlier) // timedelta(minutes=1) for earlier, later in zip([NOW, *asked], asked, strict=False)]
    assert minutes[:6] == [5, 10, 20, 40, 60, 60]
    assert len(asked) == 26


@pytest.mark.parametrize("silence", [DEADLINE, DAY, 400 * DAY])
def test_a_success_after_any_silence_is_credited_once(silence):
    meter = ready(balance=20 * UNIT)
    meter.wait(NOW + silence)
    before = meter.balance
    outcome = meter.apply(decided(f"{TENANT}:1", decided_at=meter.now))
    assert (outcome.entries[-1].kind, meter.balance) == ("recharge", before + 50 * UNIT)
    assert meter.apply(decided(f"{TENANT}:1", decided_at=meter.now)).entries == []
    assert meter.account.recharge.attempt >= 2


def test_a_decline_after_the_deadline_is_one_failure():
    meter = ready(balance=20 * UNIT)
    meter.wait()
    assert kinds(fail(meter)) == ["recharge.failed"]
    assert meter.account.recharge.not_before == meter.now + HOUR


def test_whoever_was_away_for_long_asks_once_more_not_once_for_every_deadline_missed():
    meter = ready(balance=20 * UNIT)
    meter.now += DAY
    assert [r.attempt for r in meter.apply(Tick()).requests] == [2]
    assert due(meter) == meter.now + 2 * DEADLINE


# Pauses and blocked windows


def test_the_end_of_a_pause_asks_without_any_message():
    meter = ready(balance=20 * UNIT)
    fail(meter)
    [outcome] = meter.wait(NOW + HOUR)
    assert [(r.recharge_id, r.caused_by) for r in outcome.requests] == [
        (f"{TENANT}:2", f"timer:backing_off:{TENANT}:1")
    ]


def test_the_end_of_a_pause_above_the_trigger_asks_for_nothing():
    meter = ready(balance=20 * UNIT)
    fail(meter)
    meter.apply(adjusted(1))
    [outcome] = meter.wait(NOW + HOUR)
    assert (outcome.requests, meter.account.recharge.not_before) == ([], None)


def test_a_suspended_account_waits_for_people_not_for_the_clock():
    meter = ready(balance=20 * UNIT)
    for _ in range(3):
        fail(meter)
        meter.wait(meter.now + DAY)
    assert meter.account.recharge.suspended
    assert due(meter) == meter.account.lots[0].expires_at - 30 * DAY


@pytest.mark.parametrize(
    ("settings", "guard", "opens"),
    [
        (autopay(max_per_day=1), "daily_count_cap", datetime(2026, 3, 16, tzinfo=UTC)),
        (autopay(max_per_month_micros=50 * UNIT), "monthly_amount_cap", datetime(2026, 4, 1, tzinfo=UTC)),
    ],
)
def test_a_cap_lets_the_payment_through_when_its_window_is_over(settings, guard, opens):
    meter = ready(balance=20 * UNIT, settings=settings)
    succeed(meter)
    meter.debit(60 * UNIT)
    assert meter.account.recharge.blocked_by == guard
    assert due(meter) == opens
    [outcome] = meter.wait(opens)
    [request] = outcome.requests
    assert (request.requested_at, request.recharge_id) == (opens, f"{TENANT}:2")
    assert request.caused_by.startswith(f"timer:{guard}:2026-03")
    assert meter.account.recharge.blocked_by is None


def test_being_blocked_in_december_ends_with_the_year():
    meter = ready(
        balance=20 * UNIT, now=NOW.replace(month=12, day=31), settings=autopay(max_per_month_micros=50 * UNIT)
    )
    succeed(meter)
    meter.debit(60 * UNIT)
    assert due(meter) == datetime(2027, 1, 1, tzinfo=UTC)


# Recovery


def test_the_due_time_survives_being_published():
    meter = ready(balance=20 * UNIT)
    meter.wait()
    recovered: Account = decode_account(encode(meter.account))
    assert next_due(recovered, meter.tariff.policy) == due(meter)


def test_a_recharge_that_an_older_release_left_in_flight_is_asked_for_again_as_its_second_attempt():
    published = (
        b'{"tenant_id":"contoso","currency":"USD","autopay":{"enabled":true,"payment_amount_micros":50000000,'
        b'"trigger_micros":0,"payment_method_ref":"card","set_by":"c"},"recharge":{"sequence":7,"in_flight":"contoso:7",'
        b'"amount_micros":50000000,"requested_at":"2026-03-15T11:00:00Z","deadline_at":"2026-03-15T11:05:00Z"}}'
    )
    account = decode_account(published)
    [request] = apply(account, Tick(), tariff(), NOW).requests
    assert (request.recharge_id, request.attempt, request.payment_method_ref) == ("contoso:7", 2, "card")
