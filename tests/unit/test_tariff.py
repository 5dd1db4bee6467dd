"""A leg is priced by the longest prefix effective at its start, and by nothing else."""

import random
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from processor.domain.errors import InputRejected
from processor.domain.money import charge_micros
from processor.domain.tariff import Deck, Tariff, billed_seconds
from tests.unit.builders import NOW, row, tariff

INCREMENTS = [(60, 60), (60, 1), (30, 6), (6, 6), (1, 1)]
BILLED = {
    0: (0, 0, 0, 0, 0),
    1: (60, 60, 30, 6, 1),
    31: (60, 60, 36, 36, 31),
    61: (120, 61, 66, 66, 61),
    219: (240, 219, 222, 222, 219),
}
CHARGED = {
    (219, 16_000, 0): (64_000, 58_400, 59_200, 59_200, 58_400),
    (61, 155_000, 0): (310_000, 157_583, 170_500, 170_500, 157_583),
    (31, 83_000, 0): (83_000, 83_000, 49_800, 49_800, 42_883),
    (1, 708_000, 50_000): (758_000, 758_000, 404_000, 120_800, 61_800),
}


@pytest.mark.parametrize("seconds", BILLED)
def test_billed_seconds_are_those_of_the_increment_table(seconds):
    found = [billed_seconds(seconds, row("1", initial_s=first, increment_s=then)) for first, then in INCREMENTS]
    assert found == list(BILLED[seconds])


@pytest.mark.parametrize("case", CHARGED)
def test_charges_are_those_of_the_charge_table(case):
    seconds, rate, fee = case
    rows = [row("1", initial_s=first, increment_s=then) for first, then in INCREMENTS]
    assert [charge_micros(billed_seconds(seconds, each), rate, fee) for each in rows] == list(CHARGED[case])


def test_negative_time_is_not_billed():
    assert billed_seconds(-1, row("1")) == 0


@pytest.mark.parametrize(
    ("number", "prefix"),
    [
        ("+376800000", "376"),
        ("+376300000", "3763"),
        ("+37630", "3763"),
        ("+376", "376"),
        ("+37", "3"),
        ("+3912345678", "3"),
        ("+447911123456", "447911"),
        ("+447912123456", "44"),
    ],
)
def test_the_longest_prefix_wins_whatever_its_length(number, prefix):
    rates = tariff(row("3"), row("376"), row("3763"), row("44"), row("447911"), row("4479111234567"))
    assert rates.find(number, "outbound", "USD", NOW).prefix == prefix


@pytest.mark.parametrize("count", [10_000, 1_000_000])
def test_the_longest_prefix_wins_in_a_deck_of_any_size(count):
    prefixes = {str(number) for number in range(1, count) if number % 7}
    shared = row("1")
    rates = tariff(*(msgspec.structs.replace(shared, prefix=prefix) for prefix in prefixes))
    pick = random.Random(count)
    for _ in range(2_000):
        digits = str(pick.randrange(10**9, 10**12))
        longest = next((digits[:end] for end in range(9, 0, -1) if digits[:end] in prefixes), None)
        if longest is None:
            assert reason(rates, f"+{digits}") == "no_rate"
        else:
            assert rates.find(f"+{digits}", "outbound", "USD", NOW).prefix == longest


def test_a_row_prices_from_its_first_instant_until_just_before_its_end():
    start, end = NOW, NOW + timedelta(days=1)
    rates = tariff(row("44", 1), row("447", 2, effective_from=start, effective_to=end))

    def rate(at):
        return rates.find("+447900000000", "outbound", "USD", at).rate_micros_per_min

    moment = timedelta(microseconds=1)
    assert [rate(start - moment), rate(start), rate(end - moment), rate(end)] == [1, 2, 2, 1]


def test_two_rows_of_one_prefix_follow_each_other():
    change = datetime(2026, 7, 1, tzinfo=UTC)
    rates = tariff(row("44", 2, effective_from=change), row("44", 1, effective_to=change))
    found = [rates.find("+4420", "outbound", "USD", at).rate_micros_per_min for at in (NOW, change)]
    assert found == [1, 2]


def test_of_two_rows_for_the_same_numbers_the_first_deck_wins():
    rates = Tariff([Deck("a", "1", (row("44", 1),)), Deck("b", "1", (row("44", 2), row("49", 3)))])
    assert rates.find("+4420", "outbound", "USD", NOW).rate_micros_per_min == 1
    assert rates.find("+4930", "outbound", "USD", NOW).rate_micros_per_min == 3


def test_a_dated_row_is_the_exception_to_an_undated_one_of_its_prefix():
    rates = tariff(row("44", 1), row("44", 2, effective_from=NOW, effective_to=NOW + timedelta(days=1)))
    found = [rates.find("+4420", "outbound", "USD", NOW + timedelta(days=d)).rate_micros_per_min for d in (-1, 0, 1)]
    assert found == [1, 2, 1]


def test_directions_do_not_mix():
    rates = tariff(row("1800", 1), row("1", 2, direction="inbound"))
    assert rates.find("+18005550100", "outbound", "USD", NOW).rate_micros_per_min == 1
    assert rates.find("+18005550100", "inbound", "USD", NOW).rate_micros_per_min == 2
    assert reason(rates, "+12025550100", "outbound") == "no_rate"


def reason(rates, number, direction="outbound", currency="USD", at=NOW):
    with pytest.raises(InputRejected) as caught:
        rates.find(number, direction, currency, at)
    assert number not in str(caught.value) or not number
    return caught.value.reason


@pytest.mark.parametrize(
    "number",
    [
        *("", "+", "+4", "44123456789", "+0123456789", "+44 20 7946", "+44207946000x", "++4420", "+4420\n", "+٤٤٢٠٧٩"),
        *("+1234567890123456", "anonymous", "sip:+4420@example.org", "+44*", "+²²²²²"),
    ],
)
def test_a_number_that_is_not_e164_is_invalid_whatever_the_decks_say(number):
    assert reason(tariff(row("4"), row("1")), number) == "number_invalid"


def test_fifteen_digits_are_the_most_and_two_the_fewest():
    rates = tariff(row("1"))
    assert rates.find("+123456789012345", "outbound", "USD", NOW).prefix == "1"
    assert rates.find("+12", "outbound", "USD", NOW).prefix == "1"


def test_a_number_that_only_another_currency_prices_is_a_currency_mismatch():
    rates = tariff(row("44", currency="EUR"), row("33", currency="USD"), row("1", currency="EUR", direction="inbound"))
    assert reason(rates, "+442079460000") == "currency_mismatch"
    assert reason(rates, "+493012345678") == "no_rate"
    assert reason(rates, "+12025550100") == "no_rate"
    assert reason(rates, "+33123456789", currency="GBP") == "currency_mismatch"


def test_a_row_that_is_over_is_no_rate():
    assert reason(tariff(row("44", effective_to=NOW)), "+442079460000") == "no_rate"
