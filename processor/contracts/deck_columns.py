"""The columns of a rate deck: what each may hold, and what an empty one means."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time
from operator import getitem
from typing import Any, Final, get_args

import msgspec

from processor.domain import money
from processor.domain.messages import Time
from processor.domain.tariff import Row
from processor.domain.usage import Direction

REQUIRED: Final = ("prefix", "destination", "type", "country", "rate_per_min")
OPTIONAL: Final = (
    "direction",
    "connect_fee",
    "initial_s",
    "increment_s",
    "effective_from",
    "effective_to",
    "allowed",
    "currency",
)

MAX_RATE_MICROS: Final = 10**10
"""10,000 of the major unit per minute or connection: several satellite minutes in yen; more is a slipped point."""
MAX_INCREMENT_S: Final = 3600
"""No carrier bills in steps of more than an hour."""
MAX_TEXT: Final = 256

_FIELDS: Final = {"rate_per_min": "rate_micros_per_min", "connect_fee": "connect_fee_micros"}
"""Fields of `Row` that are not called like their column."""

_PREFIX: Final = re.compile(r"[1-9][0-9]{0,14}").fullmatch
_DIRECTIONS: Final[tuple[Direction, ...]] = get_args(Direction)


class RowError(Exception):
    """Carries everything that is wrong with one row to where its line is known."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(problems)
        self.problems = problems


class RowReader:
    """Turns the fields of one deck's lines into rows.

    A deck repeats its names, prices and increments: each different text is converted once, and equal values are
    shared by all rows that have them.
    """

    def __init__(self, columns: Sequence[str], currency: str, deck: str) -> None:
        self._columns = tuple(columns)
        self._names = [_FIELDS.get(column, column) for column in columns]
        self._known: list[dict[str, Any]] = [
            _Prefixes() if column == "prefix" else _Known(column) for column in columns
        ]
        self._same: dict[str, Any] = {"deck": deck}
        if "currency" in columns:
            self._known[self._columns.index("currency")][""] = currency
        else:
            self._same["currency"] = currency

    def row(self, fields: list[str]) -> Row:
        """Reads one row, a field for each column; raises `RowError` with everything that is wrong with it."""
        try:
            row = Row(**dict(zip(self._names, map(getitem, self._known, fields), strict=True)), **self._same)
        except ValueError:
            raise RowError(self._problems(fields)) from None
        if row.effective_to is not None and row.effective_from is not None and row.effective_from >= row.effective_to:
            raise RowError(["effective_to: the row ends before it begins"])
        return row

    def _problems(self, fields: list[str]) -> list[str]:
        problems = []
        for column, known, text in zip(self._columns, self._known, fields, strict=True):
            try:
                known[text]
            except ValueError as error:
                problems.append(f"{column}: {error}")
        return problems


class _Known(dict[str, Any]):
    """The values of one column by their text."""

    def __init__(self, column: str) -> None:
        super().__init__()
        self._convert = _CONVERT[column]
        if column in OPTIONAL:
            self[""] = _DEFAULTS[_FIELDS.get(column, column)]

    def __missing__(self, text: str) -> Any:
        stripped = text.strip()
        self[text] = value = self[stripped] if stripped != text else self._convert(text)
        return value


class _Prefixes(dict[str, Any]):
    """The column whose values do not come again, so nothing is kept of it."""

    def __getitem__(self, text: str) -> str:
        prefix = text.strip()
        if _PREFIX(prefix) is None:
            raise ValueError("a prefix is 1 to 15 digits of an E.164 number, without the plus sign")
        return prefix


def _text(text: str) -> str:
    if not 0 < len(text) <= MAX_TEXT:
        raise ValueError(f"1 to {MAX_TEXT} characters are needed")
    return text


def _country(text: str) -> str:
    if not (len(text) == 2 and text.isascii() and text.isalpha() and text.isupper()):
        raise ValueError("an ISO 3166-1 code of two capital letters is needed")
    return text


def _currency(text: str) -> str:
    if not (len(text) == 3 and text.isascii() and text.isalpha() and text.isupper()):
        raise ValueError("an ISO 4217 code of three capital letters is needed")
    return text


def _price(text: str) -> money.Micros:
    micros = money.parse(text)
    if not 0 <= micros <= MAX_RATE_MICROS:
        raise ValueError(f"a price is between 0 and {money.show(MAX_RATE_MICROS)}")
    return micros


def _seconds(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MAX_INCREMENT_S):
        raise ValueError(f"whole seconds between 1 and {MAX_INCREMENT_S} are needed")
    return int(text)


def _direction(text: str) -> Direction:
    for direction in _DIRECTIONS:
        if text == direction:
            return direction
    raise ValueError("outbound or inbound is needed")


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("true or false is needed")
    return text == "true"


def _instant(text: str) -> datetime:
    """Reads an RFC 3339 time with its offset, or a date: the midnight in UTC that begins it."""
    try:
        return msgspec.convert(text, Time)
    except msgspec.ValidationError:
        pass
    try:
        return datetime.combine(msgspec.convert(text, date), time(), UTC)
    except msgspec.ValidationError:
        raise ValueError("a date or an RFC 3339 time with its offset is needed") from None


_CONVERT: Final[dict[str, Callable[[str], Any]]] = {
    "destination": _text,
    "type": _text,
    "country": _country,
    "rate_per_min": _price,
    "direction": _direction,
    "connect_fee": _price,
    "initial_s": _seconds,
    "increment_s": _seconds,
    "effective_from": _instant,
    "effective_to": _instant,
    "allowed": _boolean,
    "currency": _currency,
}
_DEFAULTS: Final[dict[str, Any]] = {field.name: field.default for field in msgspec.structs.fields(Row)}
