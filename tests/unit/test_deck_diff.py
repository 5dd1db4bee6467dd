"""A difference between decks is told by what prices the numbers, before and now."""

from datetime import timedelta
from decimal import Decimal

import pytest

from processor.domain.deck_diff import Change, diff
from processor.domain.tariff import Deck, Row
from tests.unit.builders import NOW, row


def changes(old: list[Row], new: list[Row]) -> list[Change]:
    return diff(Deck("old", "1", tuple(old)), Deck("new", "2", tuple(new)))


def prices(change: Change) -> tuple[int | None, int | None]:
    was, now = (each and each.rate_micros_per_min for each in (change.was, change.now))
    return was, now


def test_equal_rows_of_other_decks_and_in_another_order_are_no_difference():
    old = [row("44", 1, deck="old@1"), row("49", 2, deck="old@1")]
    assert changes(old, [row("49", 2, deck="new@2"), row("44", 1, deck="new@2")]) == []


@pytest.mark.parametrize(
    ("old", "new", "kind", "was_and_now"),
    [
        ([], [row("44", 1)], "added", (None, 1)),
        ([row("4", 9)], [row("4", 9), row("44", 1)], "added", (9, 1)),
        ([row("44", 1)], [], "removed", (1, None)),
        ([row("4", 9), row("44", 1)], [row("4", 9)], "removed", (1, 9)),
        ([row("44", 1)], [row("44", 2)], "changed", (1, 2)),
    ],
)
def test_a_row_is_compared_with_the_one_that_prices_its_numbers_in_the_other_deck(old, new, kind, was_and_now):
    [change] = changes(old, new)
    assert (change.kind, prices(change)) == (kind, was_and_now)


@pytest.mark.parametrize(
    ("different", "fields"),
    [
        ({"destination": "UK"}, ("destination",)),
        ({"connect_fee_micros": 5}, ("connect_fee_micros",)),
        ({"initial_s": 30, "increment_s": 6}, ("initial_s", "increment_s")),
        ({"allowed": False}, ("allowed",)),
    ],
)
def test_a_changed_row_names_what_is_different(different, fields):
    [change] = changes([row("44", 1)], [row("44", 1, **different)])
    assert (change.kind, change.fields) == ("changed", fields)


def test_directions_and_currencies_are_compared_each_for_themselves():
    found = changes([row("44", 1)], [row("44", 1, direction="inbound"), row("44", 1, currency="EUR")])
    assert [(change.kind, prices(change)) for change in found] == [
        ("added", (None, 1)),
        ("removed", (1, None)),
        ("added", (None, 1)),
    ]


def test_a_dated_price_beside_the_old_one_is_an_added_row_that_takes_its_numbers_from_it():
    [change] = changes([row("44", 1)], [row("44", 1), row("44", 2, effective_from=NOW)])
    assert (change.kind, prices(change), change.percent) == ("added", (1, 2), Decimal(100))


def test_an_end_that_moves_changes_a_row_and_adds_none():
    old = [row("44", 1, effective_from=NOW, effective_to=NOW + timedelta(days=1))]
    [change] = changes(old, [row("44", 1, effective_from=NOW)])
    assert (change.kind, change.fields) == ("changed", ("effective_to",))


def test_of_rows_for_the_same_numbers_the_first_counts_as_it_does_for_the_tariff():
    assert changes([row("44", 1)], [row("44", 1), row("44", 2)]) == []


@pytest.mark.parametrize(
    ("was", "now", "percent"),
    [
        (row("44", 15_500), row("44", 17_100), "10.3"),
        (row("44", 3), row("44", 2), "-33.3"),
        (row("44", 200), row("44", 201), "0.5"),
        (row("44", 0), row("44", 1), None),
        (row("44", 1), row("44", 2, allowed=False), None),
    ],
)
def test_the_percentage_is_that_of_the_rate_and_missing_where_there_is_none(was, now, percent):
    [change] = changes([was], [now])
    assert change.percent == (Decimal(percent) if percent else None)
