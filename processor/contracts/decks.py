"""Rate deck files: CSV to `processor.domain.tariff.Deck`, with every mistake reported by its line.

The format has one row per line, so row `i` of a deck stands in line `i + 2` of its file.
"""

import csv
import hashlib
import io
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, time
from importlib import resources
from pathlib import Path
from typing import Final, TypeVar, get_args

import msgspec

from processor.domain import money
from processor.domain.messages import Time
from processor.domain.tariff import Deck, Row
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
VENDOR_HEADER: Final = ("Destination Name", "Destination Type", "Country", "Prefix", "Price / min")

MAX_RATE_MICROS: Final = 10**10
"""10,000 of the major unit per minute or connection: several satellite minutes in yen; more is a slipped point."""
MAX_INCREMENT_S: Final = 3600
"""No carrier bills in steps of more than an hour."""
MAX_ROWS: Final = 1_000_000
"""Ten times a full A-Z deck; bounds the memory of a worker."""
MAX_TEXT: Final = 256

SYNTHETIC: Final = "synthetic_deck.csv"
"""The deck of the package: plausible destinations, invented prices."""

_PREFIX_DIGITS: Final = 15
_DIRECTIONS: Final[tuple[Direction, ...]] = get_args(Direction)
_HEADER_LINE: Final = 1

T = TypeVar("T")
Problem = tuple[int, str]


class DeckError(ValueError):
    """A deck file cannot be used; `problems` holds every mistake with its line, 0 when it is about the whole file."""

    def __init__(self, name: str, problems: list[Problem]) -> None:
        lines = "; ".join(f"line {line}: {problem}" if line else problem for line, problem in problems[:5])
        more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
        super().__init__(f"{name}: {lines}{more}")
        self.name = name
        self.problems = problems


def load_decks(paths: Iterable[Path], default_currency: str = "USD") -> tuple[Deck, ...]:
    """Reads deck files in the given order, which decides between rows of equal prefix; none means the package's own.

    Raises `DeckError` for the first file with mistakes and `OSError` for one that cannot be read.
    """
    return tuple(load(path, default_currency) for path in paths) or (synthetic(default_currency),)


def load(path: Path, default_currency: str = "USD") -> Deck:
    """Reads one deck file; its id is the file's stem. Raises `DeckError` and `OSError`."""
    return parse(path.read_bytes(), path.stem, default_currency)


def synthetic(default_currency: str = "USD") -> Deck:
    """Reads the deck that comes with the package; it has prices in whatever currency is asked for."""
    content = resources.files("processor.contracts").joinpath(SYNTHETIC).read_bytes()
    return parse(content, Path(SYNTHETIC).stem, default_currency)


def parse(content: bytes | str, deck_id: str, default_currency: str = "USD") -> Deck:
    """Reads the content of a deck file; the version is the first 12 hex digits of its SHA-256.

    Raises `DeckError`.
    """
    raw = content.encode() if isinstance(content, str) else content
    version = hashlib.sha256(raw).hexdigest()[:12]
    problems: list[Problem] = []
    rows = []
    for line, fields in _records(raw, deck_id, problems):
        try:
            rows.append(_row(fields, default_currency, f"{deck_id}@{version}"))
        except _FieldErrors as errors:
            problems.extend((line, problem) for problem in errors.problems)
    if not rows and not problems:
        problems.append((0, "the deck has no rows"))
    if problems:
        raise DeckError(deck_id, sorted(problems))
    return Deck(deck_id, version, tuple(rows))


def import_vendor(path: Path) -> str:
    """Turns the vendor's published rate card into our format.

    The card has no increments, fees or dates, so the defaults of the format apply to it. Raises `DeckError`, also when
    what comes out is no valid deck, and `OSError`.
    """
    table = list(_lines(path.read_bytes(), path.stem))
    if not table or tuple(table[0][1]) != VENDOR_HEADER:
        raise DeckError(path.stem, [(_HEADER_LINE, f"the header is not the vendor's: {','.join(VENDOR_HEADER)}")])
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(REQUIRED)
    problems = []
    for line, fields in table[1:]:
        if len(fields) == len(VENDOR_HEADER):
            destination, kind, country, prefix, rate = (field.strip() for field in fields)
            writer.writerow((prefix, destination, kind.lower(), country.upper(), rate))
        else:
            problems.append((line, f"the row has {len(fields)} fields, the header {len(VENDOR_HEADER)}"))
    if problems:
        raise DeckError(path.stem, problems)
    parse(out.getvalue(), path.stem)
    return out.getvalue()


class _FieldErrors(Exception):  # noqa: N818 - carries all mistakes of one row to its line
    def __init__(self, problems: list[str]) -> None:
        super().__init__(problems)
        self.problems = problems


def _lines(raw: bytes, name: str) -> Iterator[tuple[int, list[str]]]:
    """Yields the CSV records with their line; a byte order mark is skipped, empty lines are only allowed at the end."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DeckError(name, [(raw.count(b"\n", 0, error.start) + 1, "the file is not UTF-8")]) from None
    lines = text.rstrip().split("\n")
    if len(lines) > MAX_ROWS + 1:
        raise DeckError(name, [(0, f"the deck has more than {MAX_ROWS} rows")])
    for number, content in enumerate(lines, 1):
        try:
            yield number, next(csv.reader([content.rstrip("\r")], strict=True), [])
        except csv.Error as error:
            raise DeckError(name, [(number, f"the line is not CSV: {error}")]) from None


def _records(raw: bytes, name: str, problems: list[Problem]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yields the rows under their column names; notes rows of the wrong width in `problems`."""
    records = _lines(raw, name)
    _, header = next(records, (_HEADER_LINE, []))
    columns = [column.strip() for column in header]
    if faults := _header_faults(columns):
        raise DeckError(name, [(_HEADER_LINE, fault) for fault in faults])
    for line, fields in records:
        if len(fields) == len(columns):
            yield line, dict(zip(columns, (field.strip() for field in fields), strict=True))
        else:
            problems.append((line, f"the row has {len(fields)} fields, the header {len(columns)}"))


def _header_faults(columns: list[str]) -> list[str]:
    if tuple(columns) == VENDOR_HEADER:
        return ["this is the vendor's rate card: turn it into a deck with `credits rates import`"]
    faults = [f"column {name} is missing" for name in REQUIRED if name not in columns]
    faults += [f"column {name!r} is unknown" for name in columns if name not in REQUIRED + OPTIONAL]
    faults += [f"column {name} appears twice" for name in sorted({c for c in columns if columns.count(c) > 1})]
    return faults


def _row(fields: dict[str, str], default_currency: str, deck: str) -> Row:
    """Reads one row; raises `_FieldErrors` with everything that is wrong with it."""
    problems: list[str] = []

    def read(column: str, convert: Callable[[str], T], default: T) -> T:
        text = fields.get(column, "")
        if not text and column in OPTIONAL:
            return default
        try:
            return convert(text)
        except ValueError as error:
            problems.append(f"{column}: {error}")
            return default

    row = Row(
        prefix=read("prefix", _prefix, ""),
        destination=read("destination", _text, ""),
        type=read("type", _text, ""),
        country=read("country", _country, ""),
        rate_micros_per_min=read("rate_per_min", _price, 0),
        direction=read("direction", _direction, "outbound"),
        connect_fee_micros=read("connect_fee", _price, 0),
        initial_s=read("initial_s", _seconds, 60),
        increment_s=read("increment_s", _seconds, 60),
        effective_from=read("effective_from", _instant, None),
        effective_to=read("effective_to", _instant, None),
        allowed=read("allowed", _boolean, True),
        currency=read("currency", _currency, default_currency),
        deck=deck,
    )
    if row.effective_from is not None and row.effective_to is not None and row.effective_from >= row.effective_to:
        problems.append("effective_to: the row ends before it begins")
    if problems:
        raise _FieldErrors(problems)
    return row


def _prefix(text: str) -> str:
    if not (text.isascii() and text.isdigit() and text[0] != "0" and len(text) <= _PREFIX_DIGITS):
        raise ValueError("a prefix is 1 to 15 digits of an E.164 number, without the plus sign")
    return text


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
