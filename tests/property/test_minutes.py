"""Pools and credits together account for every second, in whatever order the legs of a month arrive."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.builders import NOW, Meter, call, conference, licences, row

DECK = (row("44", initial_s=30, increment_s=6), row("33", country="FR", connect_fee_micros=50_000))
HOME = {"user_country": "GB", "user_id": "ada"}

seconds = st.one_of(st.integers(0, 4000), st.sampled_from([0, 59, 60, 61, 3600, 7200]))
one_counter = st.builds(
    lambda length, plan, at: ("call", length, plan, at),
    seconds,
    st.sampled_from(["MCOPSTN1", "MCOPSTN5", "MCOPSTN6", "MCOPSTN8", None]),
    st.integers(0, 13),
)
dial_out = st.builds(lambda length, at: ("conference", length, "MCOMEETADD", at), seconds, st.integers(0, 13))
two_counters = st.builds(lambda length, at: ("call", length, "MCOPSTN2", at), seconds, st.integers(0, 13))


def fed(legs) -> tuple[Meter, list]:
    """A meter with one licence of everything, and the charges of the legs, given as (kind, seconds, plan, day)."""
    meter = Meter(*DECK)
    plans = ("MCOPSTN1", "MCOPSTN2", "MCOPSTN5", "MCOPSTN6", "MCOPSTN8", "MCOMEETADD")
    meter.apply(licences(*(f"{plan}:GB:1" for plan in plans)))
    entries = []
    for kind, length, plan, day in legs:
        began = NOW - timedelta(days=day, hours=2)
        times = began, began + timedelta(seconds=length)
        if kind == "call":
            message = call(length, began, capability=plan, **HOME)
        else:
            message = conference(length, joined_at=times[0], left_at=times[1], remote_number="+33123456789")
        entries += meter.apply(message).entries
    return meter, entries


@given(st.lists(st.one_of(one_counter, two_counters, dial_out), max_size=40))
def test_pool_minutes_and_credit_seconds_cover_every_second_once(legs):
    _, entries = fed(legs)
    for (_, length, _, _), entry in zip(legs, entries, strict=True):
        usage = entry.usage
        assert usage.connected_seconds == length
        beyond = length - 60 * usage.pool_minutes
        if usage.credit_seconds:
            assert 0 < beyond <= usage.credit_seconds < beyond + 60  # rounded up to increments, by less than one
            assert usage.decision == ("split" if usage.pool_minutes else "credits")
        else:
            assert beyond <= 0
        assert usage.billed_seconds == 60 * usage.pool_minutes + usage.credit_seconds
        assert (usage.pool is not None) == (usage.pool_minutes > 0)


@given(
    st.lists(st.one_of(one_counter, dial_out), max_size=40).flatmap(
        lambda legs: st.tuples(st.just(legs), st.permutations(legs))
    )
)
def test_the_order_of_a_months_legs_does_not_change_what_its_pools_pay(orders):
    def total(legs) -> dict[str, int]:
        meter, _ = fed(legs)
        pools = [*meter.account.pools, *meter.memory.own_pools("contoso", "ada")]
        return {use.pool: use.used_minutes for use in pools}

    assert total(orders[0]) == total(orders[1])


@given(st.lists(st.one_of(one_counter, two_counters, dial_out), max_size=60))
def test_a_pool_never_pays_more_than_it_has(legs):
    meter, entries = fed(legs)
    paid: dict[str, int] = {}
    for entry in entries:
        if entry.usage.pool is not None:
            paid[entry.usage.pool] = paid.get(entry.usage.pool, 0) + entry.usage.pool_minutes
    assert paid == {
        use.pool: use.used_minutes for use in [*meter.account.pools, *meter.memory.own_pools("contoso", "ada")]
    }
    limits = {"MCOPSTN1/GB": 1200, "MCOPSTN2/GB": 1200, "MCOPSTN5/GB": 120, "MCOPSTN6/GB": 240, "MCOPSTN8/GB/ada": 120}
    assert all(minutes <= (limits | {"MCOMEETADD": 60})[pool] for pool, minutes in paid.items())
