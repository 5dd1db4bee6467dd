"""Deck files are read exactly or not at all, and every mistake is reported with its line."""

import gc
import hashlib
from datetime import UTC, datetime

import pytest

from processor.contracts import deck_columns, deck_csv, decks
from processor.contracts.deck_columns import RowReader
from processor.contracts.decks import DeckError, load, load_decks, parse, synthetic, version
from processor.contracts.vendor_card import import_card
from processor.domain.deck_lint import lint
from processor.domain.tariff import Row
from tests.cards import CARDS, prices

HEADER = "prefix,destination,type,country,rate_per_min"
FULL = f"{HEADER},direction,connect_fee,initial_s,increment_s,effective_from,effective_to,allowed,currency"
VENDOR = "Destination Name,Destination Type,Country,Prefix,Price / min"


def problems(text: str | bytes) -> list[tuple[int, str]]:
    with pytest.raises(DeckError) as caught:
        parse(text, "deck")
    return caught.value.problems


def test_a_row_has_the_documented_defaults():
    [row] = parse(f"{HEADER}\n44,United Kingdom,landline,GB,0.0155\n", "deck", "EUR").rows
    assert row == Row(
        prefix="44",
        destination="United Kingdom",
        type="landline",
        country="GB",
        rate_micros_per_min=15_500,
        direction="outbound",
        connect_fee_micros=0,
        initial_s=60,
        increment_s=60,
        effective_from=None,
        effective_to=None,
        allowed=True,
        currency="EUR",
        deck=row.deck,
    )


def test_every_column_is_read():
    line = '1800,"Toll, free",toll-free,US,0.03,inbound,0.05,30,6,2026-01-01,2026-07-01T02:00:00+02:00,false,GBP'
    [row] = parse(f"{FULL}\n{line}\n", "deck").rows
    assert (row.destination, row.direction, row.connect_fee_micros) == ("Toll, free", "inbound", 50_000)
    assert (row.initial_s, row.increment_s, row.allowed, row.currency) == (30, 6, False, "GBP")
    assert row.effective_from == datetime(2026, 1, 1, tzinfo=UTC)
    assert row.effective_to == datetime(2026, 7, 1, tzinfo=UTC)


def test_columns_may_come_in_any_order_and_empty_optional_fields_mean_the_default():
    text = f"currency,allowed,{HEADER},increment_s\n,,44,UK,landline,GB,1,\n"
    [row] = parse(text, "deck").rows
    assert (row.prefix, row.currency, row.allowed, row.increment_s) == ("44", "USD", True, 60)


def test_a_deck_is_named_by_its_file_and_its_content(tmp_path):
    path = tmp_path / "carrier.v2.csv"
    content = f"{HEADER}\n44,UK,landline,GB,1\n".encode()
    path.write_bytes(content)
    deck = load(path)
    version = hashlib.sha256(content).hexdigest()[:12]
    assert (deck.deck_id, deck.version, deck.rows[0].deck) == ("carrier.v2", version, f"carrier.v2@{version}")


@pytest.mark.parametrize("change", [("\n", "\r\n"), ("prefix", "\ufeffprefix"), ("GB,1\n", "GB,1\n\n \n")])
def test_line_ends_a_byte_order_mark_and_empty_last_lines_do_not_matter(change):
    text = f"{HEADER}\n44,UK,landline,GB,1\n"
    assert [row.prefix for row in parse(text.replace(*change), "deck").rows] == ["44"]


@pytest.mark.parametrize(
    ("column", "value", "fragment"),
    [
        ("prefix", "", "1 to 15 digits"),
        ("prefix", "+44", "without the plus sign"),
        ("prefix", "044", "1 to 15 digits"),
        ("prefix", "1234567890123456", "1 to 15 digits"),
        ("prefix", "٤٤", "1 to 15 digits"),
        ("destination", "", "1 to 256 characters"),
        ("type", "x" * 257, "1 to 256 characters"),
        ("country", "GBR", "two capital letters"),
        ("country", "gb", "two capital letters"),
        ("rate_per_min", "", "not a decimal amount"),
        ("rate_per_min", "0.0000001", "more than six decimals"),
        ("rate_per_min", "1e-2", "not a decimal amount"),
        ("rate_per_min", "-0.01", "between 0 and"),
        ("rate_per_min", "10000.000001", "between 0 and"),
        ("connect_fee", "free", "not a decimal amount"),
        ("direction", "in", "outbound or inbound"),
        ("initial_s", "0", "whole seconds"),
        ("increment_s", "3601", "whole seconds"),
        ("increment_s", "1.5", "whole seconds"),
        ("effective_from", "2026-01-01T00:00:00", "RFC 3339"),
        ("effective_from", "01.02.2026", "RFC 3339"),
        ("effective_to", "2026-02-30", "RFC 3339"),
        ("allowed", "yes", "true or false"),
        ("currency", "usd", "three capital letters"),
    ],
)
def test_a_field_that_makes_no_sense_is_named_with_its_line(column, value, fragment):
    good = dict.fromkeys(deck_columns.OPTIONAL, "") | dict(
        zip(deck_columns.REQUIRED, ("44", "UK", "landline", "GB", "1"), strict=True)
    )
    lines = [",".join(({**good, column: value} if bad else good).values()) for bad in (False, True)]
    [(line, problem)] = problems("\n".join([",".join(good), *lines]))
    assert line == 3
    assert problem.startswith(f"{column}: ")
    assert fragment in problem


def test_the_dearest_price_is_a_price():
    [row] = parse(f"{HEADER}\n870,Inmarsat,satellite,ZZ,10000\n", "deck").rows
    assert row.rate_micros_per_min == deck_columns.MAX_RATE_MICROS


def test_all_mistakes_of_a_file_are_reported_at_once():
    text = f"{HEADER}\nx,UK,landline,gb,1\n44,UK,landline,GB,1\n44,UK,landline\n44,UK,landline,GB,-1\n"
    found = problems(text)
    assert [line for line, _ in found] == [2, 2, 4, 5]
    assert found[2] == (4, "the row has 3 fields, the header 5")


def test_a_row_must_begin_before_it_ends():
    text = f"{HEADER},effective_from,effective_to\n44,UK,landline,GB,1,2026-01-01,2026-01-01\n"
    assert problems(text) == [(2, "effective_to: the row ends before it begins")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [(1, f"column {name} is missing") for name in deck_columns.REQUIRED]),
        (HEADER, [(0, "the deck has no rows")]),
        (f"{HEADER},prefix,colour\n", [(1, "column 'colour' is unknown"), (1, "column prefix appears twice")]),
        (f"{HEADER}\n\n44,UK,landline,GB,1\n", [(2, "the row has 0 fields, the header 5")]),
        (f"{HEADER}\n44,".encode() + b"\xff,landline,GB,1", [(2, "the file is not UTF-8")]),
        (f"{VENDOR}\n", [(1, "this is the vendor's rate card: turn it into a deck with `credits rates import`")]),
    ],
)
def test_a_file_that_is_no_deck_says_why(text, expected):
    assert problems(text) == expected


def test_a_field_with_a_line_break_is_refused_because_lines_are_rows():
    [(line, problem)] = problems(f'{HEADER}\n44,"United\nKingdom",landline,GB,1\n')
    assert (line, problem[:20]) == (2, "the line is not CSV:")


def test_too_many_rows_are_refused(monkeypatch):
    monkeypatch.setattr(deck_csv, "MAX_ROWS", 1)
    assert len(parse(f"{HEADER}\n44,UK,landline,GB,1\n", "deck").rows) == 1
    assert problems(f"{HEADER}\n44,UK,landline,GB,1\n1,US,mixed,US,1\n") == [(0, "the deck has more than 1 rows")]


def test_a_file_of_something_else_is_not_read_to_its_end():
    found = problems(f"{HEADER}\n" + "x,UK,landline,GB,1\n" * 5000)
    assert found[-2:] == [
        (1001, "prefix: a prefix is 1 to 15 digits of an E.164 number, without the plus sign"),
        (0, "after 1,000 mistakes the file was not read on"),
    ]


def test_a_file_that_is_written_to_while_it_is_read_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "deck.csv"
    path.write_text(f"{HEADER}\n44,UK,landline,GB,1\n")

    class Overtaken(RowReader):
        def row(self, fields):
            path.write_text(f"{HEADER}\n44,UK,landline,GB,2\n")
            return super().row(fields)

    monkeypatch.setattr(decks, "RowReader", Overtaken)
    with pytest.raises(DeckError, match="the file changed while it was read"):
        load(path)


def test_an_open_quote_is_reported_where_it_stands_and_does_not_swallow_the_file():
    [(line, problem)] = problems(f'{HEADER}\n44,"UK,landline,GB,1\n' + "49,Germany,landline,DE,1\n" * 20_000)
    assert (line, problem) == (2, "the line is not CSV: field larger than field limit (131072)")


def test_rows_share_equal_values_and_cost_the_garbage_collector_nothing():
    one, other = parse(
        f"{HEADER}\n4420,London Town,landline,GB,0.0155\n4421,London Town,landline,GB,0.0155\n", "d"
    ).rows
    assert one.destination is other.destination
    assert one.rate_micros_per_min is other.rate_micros_per_min
    assert not gc.is_tracked(one)


def test_the_version_of_a_file_is_known_without_reading_it_as_a_deck(tmp_path):
    path = tmp_path / "deck.csv"
    path.write_text(f"{HEADER}\n44,UK,landline,GB,1\n")
    assert version(path) == load(path).version


def test_the_error_shows_the_first_mistakes_and_counts_the_others():
    with pytest.raises(DeckError, match=r"^carrier: line 2: prefix: .*; and 2 more$"):
        parse(f"{HEADER}\n" + "x,UK,landline,GB,1\n" * 7, "carrier")


def test_decks_are_loaded_in_order_and_no_deck_means_the_one_of_the_package(tmp_path):
    paths = [tmp_path / name for name in ("b.csv", "a.csv")]
    for path in paths:
        path.write_text(f"{HEADER}\n44,UK,landline,GB,1\n")
    assert [deck.deck_id for deck in load_decks(paths)] == ["b", "a"]
    assert load_decks([]) == (synthetic(),)


def test_the_deck_of_the_package_has_no_finding_and_shows_every_feature():
    deck = synthetic()
    assert lint([deck]) == []
    assert 150 <= len(deck.rows) <= 400
    assert {(60, 60), (60, 1), (30, 6), (6, 6), (1, 1)} <= {(r.initial_s, r.increment_s) for r in deck.rows}
    assert any(row.connect_fee_micros for row in deck.rows)
    assert any(row.effective_to for row in deck.rows)
    assert any(row.direction == "inbound" and row.type == "toll-free" for row in deck.rows)
    assert [row.prefix for row in deck.rows if row.prefix in ("449", "1900") and not row.allowed] == ["1900", "449"]


def test_the_deck_of_the_package_prices_in_the_default_currency():
    assert {row.currency for row in synthetic("JPY").rows} == {"JPY"}


def test_a_vendor_card_becomes_a_deck(tmp_path):
    path = tmp_path / "card.csv"
    path.write_text(f'\ufeff{VENDOR}\n"Korea, Republic of",Mixed,KR,82,0.0265\nAndorra - Mobile,mobile,ad,3763,0.28\n')
    text = import_card(path)
    assert text == f'{HEADER}\n82,"Korea, Republic of",mixed,KR,0.0265\n3763,Andorra - Mobile,mobile,AD,0.28\n'
    assert [row.rate_micros_per_min for row in parse(text, "card").rows] == [26_500, 280_000]


@pytest.mark.parametrize(
    ("content", "line"), [("", 1), (f"{HEADER}\n", 1), (f"{VENDOR}\na,b\n", 2), (f"{VENDOR}\na,b,GB,x,1\n", 2)]
)
def test_a_card_that_is_not_the_vendors_is_refused(tmp_path, content, line):
    path = tmp_path / "card.csv"
    path.write_text(content)
    with pytest.raises(DeckError) as caught:
        import_card(path)
    assert caught.value.problems[0][0] == line


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.stem)
def test_a_card_is_imported_whole_and_each_price_exactly(card):
    deck = parse(import_card(card), "card")
    assert sorted((row.prefix, row.rate_micros_per_min) for row in deck.rows) == sorted(prices(card)) != []
