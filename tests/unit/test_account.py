"""Money goes into lots, leaves them in the order in which they expire, and never disappears without an entry."""

from datetime import UTC, datetime, timedelta

import pytest

from processor.domain.account import Account, Lot, check, credit, debit, expire_next, one_year_after
from processor.domain.errors import InvariantViolated
from processor.domain.posting import CLOCK
from tests.unit.builders import NOW, Meter, call, funded

DAY = timedelta(days=1)


def lots(meter: Meter) -> list[tuple[str, int]]:
    return [(short(lot.lot_id), lot.remaining_micros) for lot in meter.account.lots]


def changes(entry) -> list[tuple[str, int]]:
    return [(short(change.lot_id), change.amount_micros) for change in entry.lots]


def short(lot_id: str | None) -> str:
    """The id without the time of the purchase."""
    return (lot_id or "").partition("@")[0]


def test_the_lot_that_expires_first_is_spent_first_whenever_it_was_paid_in():
    meter = Meter()
    meter.apply(funded(50, NOW))
    meter.apply(funded(60, NOW - 30 * DAY))
    meter.apply(funded(70, NOW - 10 * DAY))
    assert lots(meter) == [("lot-2", 60_000_000), ("lot-3", 70_000_000), ("lot-1", 50_000_000)]
    entry = meter.debit(140_000_000).entries[0]
    assert changes(entry) == [("lot-2", -60_000_000), ("lot-3", -70_000_000), ("lot-1", -10_000_000)]
    assert lots(meter) == [("lot-1", 40_000_000)]
    assert meter.balance == 40_000_000


def test_on_a_leap_day_the_later_purchase_may_expire_first_and_is_then_spent_first():
    meter = Meter(now=datetime(2024, 2, 29, 18, tzinfo=UTC))
    meter.apply(funded(50, datetime(2024, 2, 28, 12, tzinfo=UTC)))
    meter.apply(funded(60, datetime(2024, 2, 29, 8, tzinfo=UTC)))
    assert [lot_id for lot_id, _ in lots(meter)] == ["lot-2", "lot-1"]


def test_lots_of_one_moment_are_spent_in_the_order_of_their_ids():
    meter = Meter()
    for units in (50, 60, 70):
        meter.apply(funded(units, NOW))
    assert [lot_id for lot_id, _ in lots(meter)] == ["lot-1", "lot-2", "lot-3"]


def test_what_the_lots_cannot_pay_becomes_overdraft():
    meter = Meter()
    meter.apply(funded(50))
    entry = meter.debit(80_000_000).entries[0]
    assert changes(entry) == [("lot-1", -50_000_000)]
    assert (entry.amount_micros, entry.balance_micros, entry.flags) == (-80_000_000, -30_000_000, ["overdrawn"])
    assert (meter.account.overdraft_micros, meter.account.lots) == (30_000_000, [])


def test_a_payment_pays_the_overdraft_first():
    meter = Meter()
    meter.debit(80_000_000)
    first, second = (meter.apply(funded(50)).entries[0] for _ in range(2))
    assert (first.amount_micros, changes(first), first.balance_micros) == (50_000_000, [], -30_000_000)
    assert (second.amount_micros, changes(second), second.balance_micros) == (
        50_000_000,
        [("lot-3", 20_000_000)],
        20_000_000,
    )
    [lot] = meter.account.lots
    assert (lot.amount_micros, lot.remaining_micros, meter.account.overdraft_micros) == (50_000_000, 20_000_000, 0)


def test_a_payment_that_equals_the_overdraft_leaves_no_lot():
    meter = Meter()
    meter.debit(50_000_000)
    entry = meter.apply(funded(50)).entries[0]
    assert (entry.lots, meter.account.lots, meter.balance) == ([], [], 0)


@pytest.mark.parametrize(
    ("purchased", "expires"),
    [
        ((2026, 3, 15), (2027, 3, 15)),
        ((2024, 2, 29), (2025, 2, 28)),
        ((2023, 2, 28), (2024, 2, 28)),
        ((2025, 12, 31), (2026, 12, 31)),
    ],
)
def test_a_lot_expires_twelve_calendar_months_after_its_purchase(purchased, expires):
    assert one_year_after(datetime(*purchased, 8, 30, tzinfo=UTC)) == datetime(*expires, 8, 30, tzinfo=UTC)


def test_a_lot_is_forfeited_at_the_moment_it_expires_and_not_before():
    meter = Meter(now=datetime(2024, 2, 29, tzinfo=UTC))
    meter.apply(funded(50, meter.now))
    meter.now = datetime(2025, 2, 28, tzinfo=UTC) - timedelta(microseconds=1)
    meter.debit(1)
    assert meter.balance == 49_999_999
    meter.now += timedelta(microseconds=1)
    expiry, charge = meter.debit(1).entries
    assert (expiry.kind, expiry.amount_micros, changes(expiry)) == ("expiry", -49_999_999, [("lot-1", -49_999_999)])
    assert expiry.occurred_at == datetime(2025, 2, 28, tzinfo=UTC)
    assert (charge.kind, charge.balance_micros, charge.flags) == ("charge", -1, ["overdrawn"])


def test_expired_lots_leave_one_by_one_before_anything_else_and_their_entries_chain():
    meter = Meter()
    for days, units in ((300, 50), (200, 60), (0, 70)):
        meter.apply(funded(units, NOW - days * DAY))
    meter.now = NOW + 300 * DAY
    outcome = meter.debit(1_000_000)
    assert [(e.kind, e.amount_micros, e.balance_micros) for e in outcome.entries] == [
        ("expiry", -50_000_000, 130_000_000),
        ("expiry", -60_000_000, 70_000_000),
        ("charge", -1_000_000, 69_000_000),
    ]
    assert [e.revision for e in outcome.entries] == [4, 5, 6]
    assert [(n.kind, short(n.lot_id), n.amount_micros) for n in outcome.notices] == [
        ("lot.expired", "lot-1", 50_000_000),
        ("lot.expired", "lot-2", 60_000_000),
    ]
    assert [(e.event_id, e.event_source) for e in outcome.entries[:2]] == [
        (f"timer:expiry:{n.lot_id}", CLOCK) for n in outcome.notices
    ]


def test_money_that_was_paid_in_too_long_ago_expires_with_its_own_payment():
    meter = Meter()
    outcome = meter.apply(funded(50, NOW - 366 * DAY))
    assert [(e.kind, e.balance_micros) for e in outcome.entries] == [("fund", 50_000_000), ("expiry", 0)]
    assert meter.account.lots == []


def test_a_free_leg_does_not_stop_a_lot_from_expiring():
    meter = Meter()
    meter.apply(funded(50))
    meter.now = NOW + 366 * DAY
    outcome = meter.apply(call(60, meter.now - DAY, call_type="user_in"))
    assert [e.kind for e in outcome.entries] == ["expiry", "charge"]
    assert [n.kind for n in outcome.notices] == ["lot.expired", "balance.zero"]


def test_reaching_zero_is_said_once_per_crossing():
    meter = Meter()
    meter.apply(funded(50))
    said = [[n.kind for n in meter.debit(micros).notices] for micros in (49_999_999, 1, 1, 0)]
    assert said == [["balance.low"], ["balance.zero"], [], []]


def test_two_crossings_of_zero_are_two_notices():
    meter = Meter()
    causes = set()
    for _ in range(2):
        meter.apply(funded(50))
        [notice] = meter.debit(50_000_000).notices
        causes.add(notice.cause)
    assert len(causes) == 2


def test_a_payment_that_comes_with_an_expiry_does_not_report_zero():
    meter = Meter()
    meter.apply(funded(50))
    meter.now = NOW + 366 * DAY
    outcome = meter.apply(funded(60, meter.now))
    assert [n.kind for n in outcome.notices] == ["lot.expired"]
    assert meter.balance == 60_000_000


def account(**fields) -> Account:
    return Account(tenant_id="contoso", currency="USD", **fields)


def lot(remaining: int, amount: int = 10) -> Lot:
    expires_at = one_year_after(NOW)
    return Lot(lot_id="lot", purchased_at=NOW, expires_at=expires_at, amount_micros=amount, remaining_micros=remaining)


@pytest.mark.parametrize(
    "broken",
    [
        account(balance_micros=1),
        account(balance_micros=5, credited_micros=5),
        account(balance_micros=5, lots=[lot(5)]),
        account(balance_micros=0, lots=[lot(5)], overdraft_micros=5),
        account(balance_micros=5, overdraft_micros=-5, credited_micros=5),
        account(balance_micros=11, lots=[lot(11)], credited_micros=11),
        account(balance_micros=0, lots=[lot(0)]),
        account(balance_micros=2**53, lots=[lot(2**53, 2**53)], credited_micros=2**53),
    ],
)
def test_books_that_do_not_agree_stop_the_worker(broken):
    with pytest.raises(InvariantViolated):
        check(broken)


def test_money_operations_refuse_amounts_with_the_wrong_sign():
    with pytest.raises(InvariantViolated):
        debit(account(), -1)
    with pytest.raises(InvariantViolated):
        credit(account(), "lot", 0, NOW)


def test_nothing_expires_where_nothing_is_left():
    assert expire_next(account(), NOW) is None
