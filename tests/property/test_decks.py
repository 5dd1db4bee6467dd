"""Any file is a deck or a list of mistakes, and a deck that is written out is read back."""

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from processor.contracts import deck_columns, deck_csv
from processor.contracts.decks import DeckError, parse
from processor.domain import money
from processor.domain.deck_lint import lint
from processor.domain.tariff import Deck, Row
from tests.unit.builders import NOW

COLUMNS = deck_columns.REQUIRED + deck_columns.OPTIONAL
fields = st.one_of(
    st.sampled_from(["44", "GB", "0.01", "landline", "60", "true", "USD", "inbound", "2026-01-01", "", "x", "-1", '"']),
    st.text(max_size=6),
)
words = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=12)
rows = st.builds(
    Row,
    prefix=st.integers(1, 10**9).map(str),
    destination=words,
    type=words,
    country=st.sampled_from(["GB", "US", "ZZ"]),
    rate_micros_per_min=st.integers(0, deck_columns.MAX_RATE_MICROS),
    direction=st.sampled_from(["outbound", "inbound"]),
    connect_fee_micros=st.integers(0, deck_columns.MAX_RATE_MICROS),
    initial_s=st.integers(1, 3600),
    increment_s=st.integers(1, 3600),
    effective_from=st.sampled_from([None, NOW]),
    allowed=st.booleans(),
    currency=st.sampled_from(["USD", "EUR"]),
)


def attempt(content: str | bytes) -> tuple[Deck | None, list[deck_csv.Problem]]:
    try:
        return parse(content, "deck"), []
    except DeckError as error:
        return None, error.problems


@given(st.lists(st.lists(fields, min_size=5, max_size=len(COLUMNS)), max_size=6))
def test_any_table_is_a_deck_or_mistakes_with_their_lines(table):
    text = "\n".join([",".join(COLUMNS), *(",".join(line) for line in table)])
    deck, problems = attempt(text)
    assert all(0 <= line <= text.count("\n") + 1 for line, _ in problems)
    assert (deck is None) == bool(problems)
    lint([deck] if deck else [])


@given(st.binary(max_size=300))
def test_any_bytes_are_a_deck_or_mistakes(content):
    header = ",".join(deck_columns.REQUIRED).encode() + b"\n"
    for candidate in (content, header + content):
        deck, problems = attempt(candidate)
        assert (deck is None) == bool(problems)


@given(st.lists(rows, min_size=1, max_size=8))
def test_a_deck_that_is_written_out_is_read_back(written):
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for row in written:
        prices = [money.show(micros).replace(",", "") for micros in (row.rate_micros_per_min, row.connect_fee_micros)]
        since = row.effective_from.isoformat() if row.effective_from else ""
        line = [row.prefix, row.destination, row.type, row.country, prices[0], row.direction, prices[1]]
        writer.writerow(
            [*line, row.initial_s, row.increment_s, since, "", "true" if row.allowed else "false", row.currency]
        )
    deck = parse(out.getvalue(), "deck")
    stamp = f"deck@{deck.version}"
    assert [row.deck for row in deck.rows] == [stamp] * len(written)
    assert deck.rows == tuple(_stamped(row, stamp) for row in written)


def _stamped(row: Row, stamp: str) -> Row:
    return Row(**{name: getattr(row, name) for name in Row.__struct_fields__ if name != "deck"}, deck=stamp)
