"""Amounts are read and written exactly, and rounded in one place only."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.domain import money, numbering


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("0", 0),
        ("50", 50_000_000),
        ("0.0155", 15_500),
        ("-5.00", -5_000_000),
        ("+3", 3_000_000),
        (" 12.5 ", 12_500_000),
        ("0012.500000", 12_500_000),
        ("1.0000000000000000000000000000000000000000", 1_000_000),
        ("9007199254.740991", 2**53 - 1),
        ("-9007199254.740991", -(2**53) + 1),
    ],
)
def test_a_decimal_amount_is_read_exactly(text, micros):
    assert money.parse(text) == micros


@pytest.mark.parametrize(
    "text",
    [
        *("", "-", ".", ".5", "5.", "--1", "1 000", "1,000", "1_000", "0x10", "1e5", "1E-3", "1e999999999", "€5", "٣"),
        *("NaN", "sNaN", "Infinity", "-inf", "0.0000001", "1.0000000000000000000000000000000000000001"),
        *("9007199254.740992", "-9007199254.740992", "10000000000", "9" * 5000),
    ],
)
def test_anything_else_is_no_amount_and_is_not_rounded_into_one(text):
    with pytest.raises(ValueError, match=r"not a decimal amount|more than six decimals|too large"):
        money.parse(text)


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (0, "0.00"),
        (50_000_000, "50.00"),
        (-1_234_567_890, "-1,234.56789"),
        (1, "0.000001"),
        (2**63 - 1, "9,223,372,036,854.775807"),
        (100_000, "0.10"),
    ],
)
def test_an_amount_is_shown_with_two_decimals_or_as_many_as_it_has(micros, text):
    assert money.show(micros) == text


@pytest.mark.parametrize(
    ("micros", "currency", "text"),
    [
        (5_000_000, "USD", "5.00 USD"),
        (5_000_000, "JPY", "5 JPY"),
        (-1_234_000_000, "JPY", "-1,234 JPY"),
        (5_250_000, "JPY", "5.25 JPY"),
        (0, "JPY", "0 JPY"),
        (-500_000, "JPY", "-0.5 JPY"),
        (5_500_000, "KWD", "5.500 KWD"),
        (5_500_100, "KWD", "5.5001 KWD"),
        (5_500_000, "CLF", "5.5000 CLF"),
        (0, "KWD", "0.000 KWD"),
        (1, "KWD", "0.000001 KWD"),
        (5_000_000, "XXX", "5.00 XXX"),
    ],
)
def test_an_amount_is_shown_with_the_decimals_of_its_currency_and_never_with_fewer_than_it_has(micros, currency, text):
    assert money.show(micros, currency) == text
    assert money.show(micros, currency, code=False) == text.removesuffix(f" {currency}")


@given(st.integers(-money.MAX_MICROS, money.MAX_MICROS), st.sampled_from(["", "USD", "JPY", "KWD", "CLF"]))
def test_what_is_shown_is_read_back_exactly(micros, currency):
    assert money.parse(money.show(micros, currency, code=False).replace(",", "")) == micros


def test_a_charge_is_rounded_half_up_once():
    assert money.charge_micros(30, 1, 0) == 1
    assert money.charge_micros(29, 1, 0) == 0
    assert money.charge_micros(90, 1, 0) == 2
    assert money.charge_micros(30, 1, 7) == 8


@pytest.mark.parametrize("module", [money, numbering])
def test_the_examples_in_the_docstrings_hold(module):
    assert doctest.testmod(module).failed == 0
