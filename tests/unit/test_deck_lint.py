"""The linter reports every trap that real decks have been seen to contain, and nothing about a sound deck."""

from datetime import timedelta

import pytest

from processor.contracts.decks import parse
from processor.contracts.vendor_card import import_card
from processor.domain.deck_lint import Finding, lint
from processor.domain.numbering import COUNTRY_CODES, country_code
from processor.domain.tariff import Deck, Row
from tests.cards import CARDS, INVENTED
from tests.unit.builders import NOW, row

SHARED_COST = {"44843", "44844", "44845", "44870", "44871", "44872"}


def findings(*rows: Row) -> list[Finding]:
    return lint([Deck("deck", "1", rows)])


def of(kind: str, found: list[Finding]) -> list[Finding]:
    return [finding for finding in found if finding.kind == kind]


def prefixes(kind: str, found: list[Finding]) -> set[str | None]:
    return {finding.prefix for finding in of(kind, found)}


def trapped(found: list[Finding]) -> None:
    """Every trap of the public card is among the findings, with the severity that it deserves."""
    assert {"1", "7", "33"} <= prefixes("no_root", found)
    assert {"449"} | SHARED_COST <= prefixes("premium_as_landline", found)
    assert {finding.severity for finding in of("premium_as_landline", found)} == {"error"}
    assert "1900" in prefixes("premium_missing", found)
    assert prefixes("no_satellite", found) == {"870", "881", "882", "883"}
    assert "682" in prefixes("no_country", found)
    assert any("DE has no mobile row" in finding.explanation for finding in of("no_mobile", found))
    assert len(of("no_inbound", found)) == 1


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.stem)
def test_the_traps_of_the_public_card_are_seen_in_every_card_that_has_them(card):
    found = lint([parse(import_card(card), "card")])
    trapped(found)
    assert {finding.explanation[:2] for finding in of("no_mobile", found)} >= {"DE", "GR", "HR"}
    assert not of("duplicate", found)


def test_a_trap_is_explained_by_the_row_that_numbers_fall_through_to():
    found = lint([parse(import_card(INVENTED), "card")])
    assert prefixes("no_root", found) == {"1", "7", "33"}
    assert [f.explanation for f in found if f.prefix == "449"] == [
        "+449 (UK premium rate) falls through to 44 United Kingdom, landline, at 0.011 USD per minute"
    ]


def test_premium_numbers_under_a_root_of_the_whole_zone_fall_through_too():
    assert "1900" in prefixes("premium_as_landline", findings(row("1", type="mixed")))


@pytest.mark.parametrize(
    "own",
    [
        [row("449", 500_000, type="premium")],
        [row("449", 0, allowed=False)],
        [row(f"449{digit}", 500_000) for digit in range(10)],
        [row("4", 0, allowed=False)],
    ],
)
def test_a_premium_range_with_its_own_row_or_a_prohibition_is_in_order(own):
    found = findings(row("442", type="landline"), *own)
    assert "449" not in prefixes("premium_as_landline", found)


def test_a_few_rows_inside_a_premium_range_do_not_cover_it():
    found = findings(row("44", type="landline"), row("4490", 500_000, type="premium"))
    assert "449" in prefixes("premium_as_landline", found)


def test_a_shared_cost_row_above_covers_the_ranges_below_it():
    found = findings(row("44", type="landline"), row("4484", type="shared-cost"), row("4487", type="shared-cost"))
    assert not SHARED_COST & prefixes("premium_as_landline", found)


def test_a_country_without_any_row_is_no_premium_problem():
    assert "449" not in prefixes("premium_as_landline", findings(row("33")))
    assert "449" not in prefixes("premium_missing", findings(row("33")))


def test_rows_for_the_same_numbers_and_time_contradict_each_other():
    found = of("duplicate", findings(row("44", 1), row("44", 2), row("44", 1), row("44", 1, direction="inbound")))
    assert [(f.severity, f.deck, f.line) for f in found] == [("error", "deck", 3), ("warning", "deck", 4)]
    assert found[0].explanation == "line 2 prices the same numbers differently, and wins"


def test_rows_that_follow_each_other_in_time_are_no_duplicates():
    day = timedelta(days=1)
    before, after = row("44", 1, effective_to=NOW), row("44", 2, effective_from=NOW)
    assert not of("duplicate", findings(before, after))
    assert of("duplicate", findings(before, row("44", 2, effective_from=NOW - day)))


def test_a_time_without_a_row_between_two_dated_ones_is_pointed_out():
    day = timedelta(days=1)
    before, after = row("44", 1, effective_to=NOW), row("44", 2, effective_from=NOW + day)
    [gap] = of("time_gap", findings(after, before))
    assert (gap.severity, gap.prefix, gap.line) == ("warning", "44", 2)
    assert gap.explanation == "no row is in force from 2026-03-15 12:00 until 2026-03-16 12:00 UTC"
    assert not of("time_gap", findings(before, after, row("44", 3)))
    assert not of("time_gap", findings(before, row("44", 2, effective_from=NOW)))
    assert not of("time_gap", findings(row("44", 2, effective_from=NOW), row("447", 1, effective_to=NOW - day)))


def test_a_dated_row_is_the_exception_to_an_undated_one_and_no_duplicate():
    assert not of("duplicate", findings(row("44", 1), row("44", 2, effective_to=NOW)))


def test_a_row_that_another_deck_hides_is_pointed_out():
    found = of("duplicate", lint([Deck("own", "1", (row("44", 1),)), Deck("carrier", "1", (row("44", 2),))]))
    assert [(f.severity, f.deck, f.explanation) for f in found] == [
        ("warning", "carrier", "line 2 of own prices the same numbers already, and wins")
    ]


@pytest.mark.parametrize("increments", [(60, 60), (60, 1), (30, 6), (6, 6), (1, 1), (60, 6), (30, 30)])
def test_usual_increments_are_not_odd(increments):
    assert not of("odd_increment", findings(row("44", initial_s=increments[0], increment_s=increments[1])))


@pytest.mark.parametrize("increments", [(7, 7), (60, 45), (1, 60), (90, 30), (30, 60)])
def test_increments_that_do_not_add_up_to_minutes_are_odd(increments):
    found = of("odd_increment", findings(row("44", initial_s=increments[0], increment_s=increments[1])))
    assert [(f.prefix, f.line) for f in found] == [("44", 2)]


def test_a_free_row_is_pointed_out_unless_it_is_not_allowed_or_has_a_connect_fee():
    found = findings(row("44", 0), row("33", 0, allowed=False), row("39", 0, connect_fee_micros=1))
    assert prefixes("zero_rate", found) == {"44"}


def test_a_rate_of_more_than_four_decimals_is_noted():
    found = of("more_than_4_decimals", findings(row("44", 15_550), row("33", 15_500)))
    assert [(f.severity, f.prefix) for f in found] == [("note", "44")]
    assert "0.01555" in found[0].explanation


def test_several_currencies_are_pointed_out_and_judged_each_for_itself():
    found = findings(row("44"), row("447"), row("331", currency="EUR"))
    assert [f.severity for f in of("currency_mix", found)] == ["warning"]
    assert [(f.prefix, f.currency) for f in of("no_root", found)] == [("33", "EUR")]
    assert {f.currency for f in of("no_satellite", found)} == {"EUR", "USD"}


def test_a_catch_all_row_is_a_root():
    assert not of("no_root", findings(row("3"), row("331")))


def test_a_country_with_a_mixed_row_or_without_landlines_needs_no_mobile_row():
    found = findings(
        row("44", type="mixed"), row("4420", type="landline"), row("33800", type="toll-free", country="FR")
    )
    assert not of("no_mobile", found)


def test_inbound_rows_price_nothing_outbound():
    found = findings(row("44", direction="inbound"))
    assert not of("no_inbound", found)
    assert "44" in prefixes("no_country", found)


def test_errors_come_first_and_nothing_comes_of_no_deck():
    found = findings(row("49", 15_550, type="landline"), row("44", type="landline"), row("44", 2))
    severities = [finding.severity for finding in found]
    assert severities == sorted(severities, key=["error", "warning", "note"].index)
    assert set(severities) == {"error", "warning", "note"}
    assert lint([]) == []


def test_country_codes_are_cut_off_where_the_numbering_plan_cuts_them():
    cut = {"12125550100": "1", "79161234567": "7", "442079460000": "44", "35312345": "353", "68212345": "682", "4": "4"}
    assert {number: country_code(number) for number in cut} == cut
    assert all(country_code(code + "123") == code for code in COUNTRY_CODES)
