"""Prices are what an independent, slower calculation says they are."""

from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from processor.domain import money
from processor.domain.errors import InputRejected
from processor.domain.tariff import Row, billed_seconds
from tests.unit.builders import NOW, row, tariff

digits = st.text("0123456789", max_size=7)
prefixes = st.builds(str.__add__, st.sampled_from("124"), digits)
numbers = st.builds(str.__add__, st.sampled_from("124"), st.text("0123456789", min_size=1, max_size=14))
instants = st.one_of(st.none(), st.integers(-3, 3).map(lambda days: NOW + timedelta(days=days)))
seconds = st.integers(0, 5_000_000)
increments = st.integers(1, 3600)
rows = st.builds(
    row,
    prefixes,
    st.integers(0, 10**7),
    direction=st.sampled_from(["outbound", "inbound"]),
    effective_from=instants,
    effective_to=instants,
    currency=st.sampled_from(["USD", "USD", "EUR"]),
)


def brute_force(deck: list[Row], number: str, currency: str) -> Row | None:
    """Judges every row: the longest prefix wins, then a dated row, then the one that stands first."""

    def matches(each: Row) -> bool:
        begun = each.effective_from is None or each.effective_from <= NOW
        over = each.effective_to is not None and each.effective_to <= NOW
        prices = (each.direction, each.currency) == ("outbound", currency) and number[1:].startswith(each.prefix)
        return prices and begun and not over

    def dated(each: Row) -> bool:
        return each.effective_from is not None or each.effective_to is not None

    return max(filter(matches, deck), key=lambda each: (len(each.prefix), dated(each)), default=None)


@given(st.lists(rows, max_size=25), st.lists(numbers, min_size=1, max_size=5))
def test_the_row_is_the_one_that_a_search_through_all_rows_finds(deck, others):
    rates = tariff(row("9", direction="inbound"), *deck)
    inside = [each.prefix + "0" for each in deck]
    for number in (f"+{digits}" for digits in [*others, *inside]):
        expected = brute_force(deck, number, "USD")
        if expected is not None:
            assert rates.find(number, "outbound", "USD", NOW) is expected
            continue
        with pytest.raises(InputRejected) as caught:
            rates.find(number, "outbound", "USD", NOW)
        elsewhere = brute_force(deck, number, "EUR") is not None
        assert caught.value.reason == ("currency_mismatch" if elsewhere else "no_rate")


@given(st.text(max_size=20))
def test_any_text_is_priced_or_rejected(text):
    rates = tariff(row("1"))
    try:
        prefix = rates.find(text, "outbound", "USD", NOW).prefix
    except InputRejected as rejected:
        prefix = rejected.reason
    assert prefix in ("number_invalid", "no_rate") or text.startswith(f"+{prefix}")


@given(seconds, increments, increments)
def test_billed_time_is_the_least_that_the_increments_allow(connected, initial, increment):
    billed = billed_seconds(connected, row("1", initial_s=initial, increment_s=increment))
    if connected == 0:
        assert billed == 0
        return
    assert billed >= max(connected, initial)
    assert (billed - initial) % increment == 0
    assert billed == initial or billed - increment < connected


@given(seconds, seconds, increments, increments)
def test_a_longer_leg_is_never_billed_less(one, other, initial, increment):
    each = row("1", initial_s=initial, increment_s=increment)
    shorter, longer = sorted((one, other))
    assert billed_seconds(shorter, each) <= billed_seconds(longer, each)


@given(seconds, increments)
def test_billed_time_billed_again_is_the_same(connected, increment):
    each = row("1", initial_s=increment, increment_s=increment)
    once = billed_seconds(connected, each)
    assert billed_seconds(once, each) == once


@given(seconds, st.integers(0, 10**10), st.integers(0, 10**10))
def test_a_charge_is_the_exact_price_rounded_half_up(billed, rate, fee):
    major = Decimal(billed) * Decimal(rate).scaleb(-6) / 60 + Decimal(fee).scaleb(-6)
    exact = int(major.quantize(Decimal("0.000001"), ROUND_HALF_UP).scaleb(6))
    assert money.charge_micros(billed, rate, fee) == exact


@given(st.integers(-money.MAX_MICROS, money.MAX_MICROS))
def test_an_amount_that_is_shown_can_be_read_back(micros):
    assert money.parse(money.show(micros).replace(",", "")) == micros


@given(st.decimals(allow_nan=False, allow_infinity=False, places=8, min_value=-(10**9), max_value=10**9))
def test_reading_an_amount_never_changes_it(amount):
    text = format(amount, "f")
    scaled = amount * money.MICROS_PER_UNIT
    if scaled == int(scaled):
        assert money.parse(text) == int(scaled)
    else:
        with pytest.raises(ValueError, match="six decimals"):
            money.parse(text)


@given(st.text(max_size=30))
def test_any_text_is_an_amount_or_a_value_error(text):
    try:
        micros = money.parse(text)
    except ValueError:
        return
    assume(text.strip())
    assert Decimal(text.strip()) * money.MICROS_PER_UNIT == micros
