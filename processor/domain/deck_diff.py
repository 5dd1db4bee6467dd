"""Finds what a new rate deck changes against an old one: for every row that differs, what priced its numbers before
and what prices them now.

A row that is gone may leave its numbers to a shorter prefix, and a new row takes its numbers from one: the price that
matters is that of the row which really matched.
"""

from collections.abc import Iterator
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final, Literal

from msgspec import Struct

from processor.domain.tariff import Deck, Row
from processor.domain.usage import Direction

Kind = Literal["added", "removed", "changed"]

_COMPARED: Final = tuple(name for name in Row.__struct_fields__ if name not in ("prefix", "deck"))

_Key = tuple[str, Direction, str, datetime | None, bool]
"""Currency, direction, prefix, begin, and whether the row has an end: what makes it another row, not another price."""


class Change(Struct, frozen=True, kw_only=True):
    """One row that differs.

    `was` is the row that priced the numbers of `prefix` in the old deck, `now` the one in the new: for an added or a
    removed row possibly one of a shorter prefix, or none. `fields` names what a changed row has different.
    """

    kind: Kind
    prefix: str
    was: Row | None
    now: Row | None
    fields: tuple[str, ...] = ()

    @property
    def percent(self) -> Decimal | None:
        """How much the rate per minute rises, with one decimal; None where there is no rate to compare with."""
        if self.was is None or self.now is None or not (self.was.allowed and self.now.allowed):
            return None
        before, after = self.was.rate_micros_per_min, self.now.rate_micros_per_min
        if not before:
            return None
        return (Decimal(after - before) * 100 / before).quantize(Decimal("0.1"), ROUND_HALF_EVEN)


def diff(old: Deck, new: Deck) -> list[Change]:
    """Returns the changes from `old` to `new` by currency, direction and prefix; names and dates count as well."""
    before, after = _rows(old), _rows(new)
    return [
        change for key in sorted(before.keys() | after.keys(), key=_order) for change in _changes(key, before, after)
    ]


def _rows(deck: Deck) -> dict[_Key, Row]:
    rows: dict[_Key, Row] = {}
    for row in deck.rows:
        ends = row.effective_to is not None and row.effective_from is None
        rows.setdefault((row.currency, row.direction, row.prefix, row.effective_from, ends), row)  # the first wins
    return rows


def _order(key: _Key) -> tuple[str, str, str, str, bool]:
    currency, direction, prefix, begin, ends = key
    return currency, "" if direction == "outbound" else direction, prefix, begin.isoformat() if begin else "", ends


def _changes(key: _Key, before: dict[_Key, Row], after: dict[_Key, Row]) -> Iterator[Change]:
    prefix, was, now = key[2], before.get(key), after.get(key)
    if was is None:
        yield Change(kind="added", prefix=prefix, was=_match(key, before), now=now)
    elif now is None:
        yield Change(kind="removed", prefix=prefix, was=was, now=_match(key, after))
    elif fields := tuple(name for name in _COMPARED if getattr(was, name) != getattr(now, name)):
        yield Change(kind="changed", prefix=prefix, was=was, now=now, fields=fields)


def _match(key: _Key, rows: dict[_Key, Row]) -> Row | None:
    """Finds the undated row that prices the numbers of a row in a deck that does not have it."""
    currency, direction, prefix, _, _ = key
    found = (rows.get((currency, direction, prefix[:length], None, False)) for length in range(len(prefix), 0, -1))
    return next((row for row in found if row is not None), None)
