"""What a minute costs: rate decks with the longest prefix, effective dates, increments and connect fee."""

import re
from collections.abc import Iterable
from datetime import datetime
from itertools import chain
from typing import Final

from msgspec import Struct

from processor.domain.errors import InputRejected
from processor.domain.money import Micros
from processor.domain.policy import Policy
from processor.domain.usage import Direction

_e164 = re.compile(r"\+[1-9][0-9]{1,14}").fullmatch

_HEAD: Final = 4
"""Leading digits by which the prefix lengths that can match are looked up: narrow enough to try one to three."""


class Row(Struct, frozen=True, kw_only=True, gc=False):
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
    """Rows of one direction and currency by prefix, and which prefix lengths exist under which leading digits."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.always: dict[str, Row] = {}
        self.dated: dict[str, list[Row]] = {}
        for row in rows:
            if row.effective_from is None and row.effective_to is None:
                self.always.setdefault(row.prefix, row)  # the first deck wins
            else:
                self.dated.setdefault(row.prefix, []).append(row)
        lengths: dict[str, set[int]] = {}
        for prefix in chain(self.always, self.dated):
            head = prefix[:_HEAD]
            if head not in lengths:
                lengths[head] = set()
            lengths[head].add(len(prefix))
        short = {length for head, found in lengths.items() if len(head) < _HEAD for length in found}
        self._short = tuple(sorted(short, reverse=True))
        self._lengths = {head: tuple(sorted(found | short, reverse=True)) for head, found in lengths.items()}

    def find(self, digits: str, at: datetime) -> Row | None:
        """Finds the row of the longest prefix effective at `at`; `digits` is E.164 without its plus sign."""
        always, dated = self.always, self.dated
        for length in self._lengths.get(digits[:_HEAD], self._short):
            prefix = digits[:length]
            # A dated row goes before an undated one of the same prefix: it is the exception to it.
            if dated:
                for row in dated.get(prefix, ()):
                    if row.effective(at):
                        return row
            found = always.get(prefix)
            if found is not None:
                return found
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
        if _e164(number) is None:
            raise InputRejected("number_invalid", "the number to be priced is not E.164")
        digits = number[1:]
        prefixes = self._prefixes.get((currency, direction))
        if prefixes is not None and (row := prefixes.find(digits, at)) is not None:
            return row
        for (other, way), candidates in self._prefixes.items():
            if way == direction and other != currency and candidates.find(digits, at) is not None:
                raise InputRejected(
                    "currency_mismatch", f"the account is kept in {currency}, the deck prices in {other}"
                )
        raise InputRejected("no_rate", f"no {direction} row of any deck matches the number at the start of the leg")
