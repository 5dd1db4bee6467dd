"""What a minute costs: rate decks with the longest prefix, effective dates, increments and connect fee."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from msgspec import Struct

from processor.domain.errors import InputRejected
from processor.domain.money import Micros
from processor.domain.policy import Policy
from processor.domain.usage import Direction

_HEAD: Final = 4
"""Leading digits by which the prefix lengths that can match are looked up: narrow enough to try one to three."""


class Row(Struct, frozen=True, kw_only=True):
    """One line of a deck. Rates and fee in micros; `effective_to` is exclusive."""

    prefix: str
    destination: str
    type: str
    country: str
    rate_micros_per_min: Micros
    direction: Direction = "outbound"
    connect_fee_micros: Micros = 0
    initial_s: int = 60
    increment_s: int = 60
    effective_from: datetime | None = None
    effective_to: datetime | None = None
    allowed: bool = True
    currency: str = "USD"
    deck: str = ""

    def effective(self, at: datetime) -> bool:
        """Tells whether the row prices a leg that started at `at`."""
        return (self.effective_from is None or self.effective_from <= at) and (
            self.effective_to is None or at < self.effective_to
        )


class Deck(Struct, frozen=True):
    """A rate deck as loaded: id and version are stamped on every ledger entry priced from it."""

    deck_id: str
    version: str
    rows: tuple[Row, ...]


def billed_seconds(seconds: int, row: Row) -> int:
    """Rounds a connected time up to the row's increments: the initial one once, then whole further ones."""
    if seconds <= 0:
        return 0
    if seconds <= row.initial_s:
        return row.initial_s
    return row.initial_s + -(-(seconds - row.initial_s) // row.increment_s) * row.increment_s


class _Prefixes:
    """Longest-prefix search over the rows of one direction and currency."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows: dict[str, list[Row]] = {}
        for row in rows:
            self._rows.setdefault(row.prefix, []).append(row)
        short = {len(prefix) for prefix in self._rows if len(prefix) < _HEAD}
        lengths: dict[str, set[int]] = {}
        for prefix in self._rows:
            if len(prefix) >= _HEAD:
                lengths.setdefault(prefix[:_HEAD], set(short)).add(len(prefix))
        self._short = tuple(sorted(short, reverse=True))
        self._lengths = {head: tuple(sorted(found, reverse=True)) for head, found in lengths.items()}

    def find(self, number: str, at: datetime) -> Row | None:
        """Finds the row of the longest prefix effective at `at`; `number` is E.164 with its plus sign."""
        for length in self._lengths.get(number[1 : _HEAD + 1], self._short):
            for row in self._rows.get(number[1 : length + 1], ()):
                if row.effective(at):
                    return row
        return None


class Tariff:
    """All decks together with the operator's policy; immutable, replaced as a whole."""

    def __init__(self, decks: Iterable[Deck], policy: Policy | None = None) -> None:
        self.decks = tuple(decks)
        self.policy = policy or Policy()
        groups: dict[tuple[str, Direction], list[Row]] = {}
        for deck in self.decks:
            for row in deck.rows:
                groups.setdefault((row.currency, row.direction), []).append(row)
        self._prefixes = {group: _Prefixes(rows) for group, rows in groups.items()}

    def find(self, number: str, direction: Direction, currency: str, at: datetime) -> Row:
        """Finds the row that prices `number`.

        Raises `InputRejected`: `number_invalid` when it is not E.164, `currency_mismatch` when only another currency
        prices it, `no_rate` when nothing does.
        """
        if not (
            2 < len(number) <= 16
            and number[0] == "+"
            and number[1] != "0"
            and number.isascii()
            and number[1:].isdigit()
        ):
            raise InputRejected("number_invalid", "the number to be priced is not E.164")
        prefixes = self._prefixes.get((currency, direction))
        row = prefixes.find(number, at) if prefixes is not None else None
        if row is not None:
            return row
        for (other, way), candidates in self._prefixes.items():
            if way == direction and other != currency and candidates.find(number, at) is not None:
                raise InputRejected(
                    "currency_mismatch", f"the account is kept in {currency}, the deck prices in {other}"
                )
        raise InputRejected("no_rate", f"no {direction} row of any deck matches the number at the start of the leg")
