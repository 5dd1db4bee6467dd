"""Minutes that licences bring along pay first; credits pay for what is beyond them, to the second."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from processor.domain.ledger import UsageDetail
from tests.unit.builders import NOW, Meter, call, conference, licences, row

PLACES = {"US": "+12125550100", "PR": "+17875550100", "CA": "+14165550100", "GB": "+442079460000"} | {
    "FR": "+33123456789",
    "DE": "+4930123456",
    "ZW": "+263242123456",
}
DECK = (
    row("1", country="US"),
    row("1787", country="PR"),
    row("1416", country="CA"),
    row("1900", 900_000, country="US", type="premium"),
    row("44", country="GB"),
    row("33", country="FR", connect_fee_micros=50_000, initial_s=30, increment_s=6),
    row("49", country="DE"),
    row("263", country="ZW"),
    row("88", 4_000_000, country="XX", type="satellite"),
)


def metered(*named: str) -> Meter:
    meter = Meter(*DECK)
    if named:
        meter.apply(licences(*named))
    return meter


def usage(meter: Meter, message) -> UsageDetail:
    entry = meter.apply(message).entries[-1]
    assert entry.kind == "charge"
    assert entry.usage is not None
    return entry.usage


def from_to(home: str, to: str, plan: str, minutes: float = 1, **fields):
    return call(minutes * 60, user_country=home, callee=PLACES[to], capability=plan, user_id="ada", **fields)


def used(meter: Meter) -> dict[str, int]:
    return {use.pool: use.used_minutes for use in meter.account.pools}


# The conference matrix: Zone A decides by the destination, wherever the organizer is.
@pytest.mark.parametrize("organizer", ["US", "GB", "ZW"])
@pytest.mark.parametrize(("to", "payer"), [("US", "pool"), ("GB", "pool"), ("ZW", "credits"), ("FR", "pool")])
def test_conference_dial_out_is_paid_by_the_pool_inside_zone_a_only(organizer, to, payer):
    meter = metered("MCOMEETADD:US:1")
    found = usage(meter, conference(61, organizer_country=organizer, remote_number=PLACES[to]))
    assert found.decision == payer
    assert found.zone == ("A" if payer == "pool" else None)
    assert used(meter) == ({"MCOMEETADD": 2} if payer == "pool" else {})


def test_the_conferencing_pool_is_sixty_minutes_for_every_licence_of_the_tenant_wherever_it_is():
    meter = metered("MCOMEETADD:US:10", "MCOMEETADD:GB:100", "MCOMEETADD:ZW:5")
    assert usage(meter, conference(6_899 * 60, joined_at=NOW - timedelta(minutes=6_899))).decision == "pool"
    assert usage(meter, conference(60)).decision == "pool"
    last = usage(meter, conference(60))
    assert (last.decision, last.reason) == ("credits", "conference_pool_used_up")


def test_pay_per_minute_conferencing_never_draws_on_the_pool():
    meter = metered("MCOMEETADD:US:10")
    assert usage(meter, conference(capability="MCOMEETACPEA")).decision == "credits"
    assert used(meter) == {}


@pytest.mark.parametrize(
    ("plan", "home", "minutes"),
    [
        ("MCOPSTN5", "US", 120),
        ("MCOPSTN5", "GB", 120),
        ("MCOPSTN6", "US", 240),
        ("MCOPSTN6", "DE", 240),
        ("MCOPSTN1", "US", 3000),
        ("MCOPSTN1", "GB", 1200),
        ("MCOPSTN2", "US", 3000),
        ("MCOPSTN2", "DE", 1200),
        ("MCOPSTN8", "US", 120),
        ("MCOPSTN8", "GB", 120),
    ],
)
def test_a_plan_brings_its_domestic_minutes_and_not_one_more(plan, home, minutes):
    meter = metered(f"{plan}:{home}:1")
    took = timedelta(minutes=minutes)
    first = usage(meter, from_to(home, home, plan, minutes, started_at=NOW - took))
    assert (first.decision, first.reason, first.pool_minutes, first.credit_seconds) == (
        "pool",
        "calling_plan",
        minutes,
        0,
    )
    beyond = usage(meter, from_to(home, home, plan))
    assert (beyond.decision, beyond.reason) == ("credits", "pool_used_up")


@pytest.mark.parametrize("plan", ["MCOPSTN1", "MCOPSTN5", "MCOPSTN6", "MCOPSTN8"])
def test_c4_an_international_call_of_a_domestic_plan_is_paid_by_credits(plan):
    found = usage(metered(f"{plan}:GB:9"), from_to("GB", "FR", plan))
    assert (found.decision, found.reason) == ("credits", "international")


def test_c5_an_international_call_of_an_international_plan_is_paid_by_its_international_minutes_first():
    meter = metered("MCOPSTN2:GB:1")
    assert usage(meter, from_to("GB", "FR", "MCOPSTN2", 599)).pool == "MCOPSTN2/GB/international"
    found = usage(meter, from_to("GB", "FR", "MCOPSTN2", 2))
    assert (found.decision, found.pool_minutes, found.credit_seconds) == ("split", 1, 60)


@pytest.mark.parametrize(("home", "to"), [("US", "CA"), ("CA", "PR"), ("PR", "US")])
def test_the_united_states_canada_and_puerto_rico_are_domestic_to_one_another(home, to):
    assert usage(metered(f"MCOPSTN1:{home}:1"), from_to(home, to, "MCOPSTN1")).decision == "pool"


def test_the_united_states_and_puerto_rico_share_one_pool_and_germany_has_its_own():
    meter = metered("MCOPSTN5:US:1", "MCOPSTN5:PR:1", "MCOPSTN5:DE:1")
    for home in ("US", "PR", "DE"):
        usage(meter, from_to(home, home, "MCOPSTN5", 100))
    assert used(meter) == {"MCOPSTN5/US": 200, "MCOPSTN5/DE": 100}


def test_plans_of_different_sizes_share_no_pool():
    meter = metered("MCOPSTN5:GB:1", "MCOPSTN6:GB:1")
    usage(meter, from_to("GB", "GB", "MCOPSTN5", 130))
    assert used(meter) == {"MCOPSTN5/GB": 120}
    assert usage(meter, from_to("GB", "GB", "MCOPSTN6", 130)).decision == "pool"


@pytest.mark.parametrize(("first", "minutes", "other"), [("GB", 1200, "FR"), ("FR", 600, "GB")])
def test_whichever_of_the_two_counters_is_reached_first_closes_both(first, minutes, other):
    meter = metered("MCOPSTN2:GB:1")
    usage(meter, from_to("GB", first, "MCOPSTN2", minutes - 1))
    assert usage(meter, from_to("GB", other, "MCOPSTN2")).decision == "pool"
    assert usage(meter, from_to("GB", first, "MCOPSTN2")).decision == "pool"
    for to in (first, other):
        found = usage(meter, from_to("GB", to, "MCOPSTN2"))
        assert (found.decision, found.reason) == ("credits", "pool_used_up")


def test_minutes_that_are_not_pooled_are_each_users_own():
    meter = metered("MCOPSTN8:GB:2")
    for user in ("ada", "bob"):
        message = call(120 * 60, user_country="GB", capability="MCOPSTN8", user_id=user)
        assert usage(meter, message).pool == f"MCOPSTN8/GB/{user}"
    assert usage(meter, from_to("GB", "GB", "MCOPSTN8")).reason == "pool_used_up"
    assert meter.account.pools == []  # a hundred thousand of them would not fit into the account's record


def test_users_own_minutes_need_a_user_and_a_licence():
    nobody = call(user_country="GB", capability="MCOPSTN8")
    assert usage(metered("MCOPSTN8:GB:2"), nobody).reason == "pool_used_up"
    assert usage(metered(), from_to("GB", "GB", "MCOPSTN8")).reason == "pool_used_up"


@pytest.mark.parametrize(
    ("seconds", "left", "pool_minutes", "priced", "charge"),
    [
        (59, 1, 1, 0, 0),
        (60, 1, 1, 0, 0),
        (61, 1, 1, 30, 50_000 + 50_000),  # one second beyond: 30 s at 0.10 a minute, and the fee
        (61, 2, 2, 0, 0),
        (125, 1, 1, 66, 50_000 + 110_000),
        (125, 2, 2, 30, 50_000 + 50_000),
        (125, 0, 0, 126, 50_000 + 210_000),
        (0, 1, 0, 0, 0),
        (0, 0, 0, 0, 0),
    ],
)
def test_a_leg_across_the_edge_of_a_pool_is_split_in_whole_minutes(seconds, left, pool_minutes, priced, charge):
    meter = metered("MCOMEETADD:FR:1")
    usage(meter, conference((60 - left) * 60, remote_number=PLACES["GB"]))
    entry = meter.apply(conference(seconds, remote_number=PLACES["FR"])).entries[0]
    found = entry.usage
    assert (found.pool_minutes, found.credit_seconds, -entry.amount_micros) == (pool_minutes, priced, charge)
    assert found.billed_seconds == 60 * pool_minutes + priced
    assert (found.decision == "split") == (pool_minutes > 0 and priced > 0)
    assert (found.connect_fee_micros > 0) == (priced > 0)


@pytest.mark.parametrize(
    ("last_moment", "months"),
    [
        (datetime(2026, 2, 28, 23, 59, 59, tzinfo=UTC), ["2026-02", "2026-03"]),
        (datetime(2028, 2, 28, 23, 59, 59, tzinfo=UTC), ["2028-02"]),
        (datetime(2028, 2, 29, 23, 59, 59, tzinfo=UTC), ["2028-02", "2028-03"]),
        (datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC), ["2026-12", "2027-01"]),
    ],
)
def test_the_month_of_a_pool_is_the_one_in_utc_in_which_the_leg_began(last_moment, months):
    meter = Meter(*DECK, now=last_moment + timedelta(days=1))
    meter.apply(licences("MCOPSTN5:GB:1", effective_at=last_moment - timedelta(days=60)))
    for started_at in (last_moment, last_moment + timedelta(seconds=1)):
        assert usage(meter, from_to("GB", "GB", "MCOPSTN5", 60, started_at=started_at)).decision == "pool"
    counted = {use.month: use.used_minutes for use in meter.account.pools}
    assert counted == dict.fromkeys(months, 120 // len(months))


def test_a_late_event_counts_in_the_month_it_began_even_from_another_time_zone():
    meter = metered("MCOPSTN5:GB:1")
    started_at = datetime(2026, 3, 1, 5, tzinfo=timezone(timedelta(hours=14)))
    usage(meter, from_to("GB", "GB", "MCOPSTN5", started_at=started_at))
    assert [use.month for use in meter.account.pools] == ["2026-02"]


def test_counters_that_no_event_can_reach_any_more_are_forgotten():
    meter = metered("MCOPSTN5:GB:1")
    for _ in range(8):
        usage(meter, from_to("GB", "GB", "MCOPSTN5", started_at=meter.now - timedelta(minutes=2)))
        meter.now += timedelta(days=31)
    assert [use.month for use in meter.account.pools] == ["2026-07", "2026-08", "2026-09", "2026-10"]


def test_licences_count_from_the_time_they_are_effective_and_a_pool_is_never_negative():
    meter = metered("MCOPSTN5:GB:2")
    usage(meter, from_to("GB", "GB", "MCOPSTN5", 200))
    meter.apply(licences("MCOPSTN5:GB:1", effective_at=NOW - timedelta(hours=1)))
    assert usage(meter, from_to("GB", "GB", "MCOPSTN5")).reason == "pool_used_up"
    before = NOW - timedelta(hours=2)
    assert usage(meter, from_to("GB", "GB", "MCOPSTN5", started_at=before)).decision == "pool"
    meter.apply(licences("MCOPSTN5:GB:3", effective_at=NOW - timedelta(minutes=30)))
    assert usage(meter, from_to("GB", "GB", "MCOPSTN5")).decision == "pool"


def test_licences_that_are_effective_later_change_nothing_now():
    meter = metered("MCOPSTN5:GB:1")
    meter.apply(licences(effective_at=NOW + timedelta(days=1)))
    assert usage(meter, from_to("GB", "GB", "MCOPSTN5")).decision == "pool"


def test_a_set_of_licences_for_the_same_time_replaces_the_one_before():
    meter = metered("MCOPSTN5:GB:1")
    meter.apply(licences("MCOPSTN6:GB:1", "MCOPSTNPP:GB:9"))
    [kept] = meter.account.licences
    assert [licence.capability for licence in kept.licences] == ["MCOPSTN6"]


def test_eighty_and_a_hundred_percent_are_told_once_a_month_and_a_jump_tells_both():
    meter = metered("MCOPSTN5:GB:1")

    def told(minutes: float, **fields) -> list[int]:
        notices = meter.apply(from_to("GB", "GB", "MCOPSTN5", minutes, **fields)).notices
        assert {notice.kind for notice in notices} <= {"pool.threshold"}
        return [notice.percent for notice in notices]

    assert told(95) == []
    assert told(1) == [80]
    assert told(1) == []
    assert told(30) == [100]
    assert told(1) == []
    assert told(130, started_at=NOW - timedelta(days=20)) == [80, 100]
    assert told(1, started_at=NOW - timedelta(days=20)) == []


def test_a_pool_pays_for_a_user_without_the_credits_licence_and_the_rest_is_refused():
    meter = metered("MCOPSTN5:GB:1")
    split = meter.apply(from_to("GB", "GB", "MCOPSTN5", 121, credits_licensed=False)).entries[0]
    found = split.usage
    assert (found.decision, found.reason, found.pool_minutes) == ("split", "user_not_licensed", 120)
    assert (found.credit_seconds, split.amount_micros) == (0, 0)
    refused = usage(meter, from_to("GB", "GB", "MCOPSTN5", credits_licensed=False))
    assert (refused.decision, refused.reason) == ("refused", "user_not_licensed")


@pytest.mark.parametrize("number", [f"+{prefix}123456" for prefix in (44843, 44844, 44845, 44870, 44871, 44872)])
def test_c9_uk_shared_cost_numbers_are_paid_by_credits_only(number):
    meter = metered("MCOPSTN1:GB:1", "MCOMEETADD:GB:1")
    by_call = usage(meter, call(callee=number, user_country="GB", capability="MCOPSTN1"))
    by_conference = usage(meter, conference(remote_number=number))
    assert {(found.decision, found.reason) for found in (by_call, by_conference)} == {("credits", "uk_shared_cost")}


def test_c9_uk_premium_numbers_are_refused_also_where_the_deck_has_no_row_for_them():
    found = usage(metered("MCOPSTN1:GB:1"), call(callee="+449098765432", user_country="GB", capability="MCOPSTN1"))
    assert (found.decision, found.reason, found.pool_minutes) == ("refused", "destination_not_allowed", 0)


@pytest.mark.parametrize(("number", "reason"), [("+19005550100", "never_pooled"), ("+88123456789", "never_pooled")])
def test_premium_and_satellite_numbers_never_draw_on_a_pool(number, reason):
    found = usage(metered("MCOPSTN2:US:1"), call(callee=number, user_country="US", capability="MCOPSTN2"))
    assert (found.decision, found.reason) == ("credits", reason)
    found = usage(metered("MCOMEETADD:US:1"), conference(remote_number=number))
    assert (found.decision, found.reason) == ("credits", "conference_dial_out")


def test_a_leg_of_more_than_a_day_is_charged_and_flagged():
    entry = metered().apply(call(86_401)).entries[0]
    assert entry.flags == ["overdrawn", "over_24_hours"]
    assert metered().apply(call(86_400)).entries[0].flags == ["overdrawn"]
