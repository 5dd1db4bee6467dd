"""Rate deck files: CSV to `processor.domain.tariff.Deck`, with every mistake reported by its line.

The format has one row per line, so row `i` of a deck stands in line `i + 2` of its file.
"""

import hashlib
import io
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import BinaryIO, Final

from processor.contracts import deck_csv
from processor.contracts.deck_columns import OPTIONAL, REQUIRED, RowError, RowReader
from processor.contracts.deck_csv import DeckError, Problem
from processor.domain.tariff import Deck

__all__ = ["DeckError", "load", "load_decks", "parse", "synthetic", "version"]

VENDOR_HEADER: Final = ("Destination Name", "Destination Type", "Country", "Prefix", "Price / min")
"""Columns of the card that `processor.contracts.vendor_card` turns into a deck."""

SYNTHETIC: Final = "synthetic_deck.csv"
"""The deck of the package: plausible destinations, invented prices."""

MAX_PROBLEMS: Final = 1000
"""Mistakes after which a file is not read on: it is a file of something else."""

_HEADER_LINE: Final = 1


def load_decks(paths: Iterable[Path], default_currency: str = "USD") -> tuple[Deck, ...]:
    """Reads deck files in the given order, which decides between rows of equal prefix; none means the package's own.

    Raises `DeckError` for the first file with mistakes and `OSError` for one that cannot be read.
    """
    return tuple(load(path, default_currency) for path in paths) or (synthetic(default_currency),)


def load(path: Path, default_currency: str = "USD") -> Deck:
    """Reads one deck file; its id is the file's stem. Raises `DeckError` and `OSError`."""
    with path.open("rb") as file:
        return _read(file, path.stem, default_currency)


def version(path: Path) -> str:
    """Returns the version that a file's content has as a deck, without reading it as one. Raises `OSError`."""
    with path.open("rb") as file:
        return _version(file)


def synthetic(default_currency: str = "USD") -> Deck:
    """Reads the deck that comes with the package; it has prices in whatever currency is asked for."""
    content = resources.files("processor.contracts").joinpath(SYNTHETIC).read_bytes()
    return parse(content, Path(SYNTHETIC).stem, default_currency)


def parse(content: bytes | str, deck_id: str, default_currency: str = "USD") -> Deck:
    """Reads the content of a deck file; the version is the first 12 hex digits of its SHA-256.

    Raises `DeckError`.
    """
    return _read(io.BytesIO(content.encode() if isinstance(content, str) else content), deck_id, default_currency)


def _version(file: BinaryIO) -> str:
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()[:12]  # type: ignore[arg-type]


def _read(file: BinaryIO, deck_id: str, default_currency: str) -> Deck:
    stated = _version(file)  # rows carry it, so it must be known before the first of them
    file.seek(0)
    lines = deck_csv.read(file, deck_id)
    _, header = next(lines, (_HEADER_LINE, []))
    columns = [column.strip() for column in header]
    if faults := _header_faults(columns):
        raise DeckError(deck_id, [(_HEADER_LINE, fault) for fault in faults])
    reader = RowReader(columns, default_currency, f"{deck_id}@{stated}")
    rows, problems = [], list[Problem]()
    for line, fields in lines:
        if len(fields) != len(columns):
            problems.append((line, f"the row has {len(fields)} fields, the header {len(columns)}"))
        else:
            try:
                rows.append(reader.row(fields))
            except RowError as error:
                problems += [(line, problem) for problem in error.problems]
        if len(problems) >= MAX_PROBLEMS:
            problems.append((0, f"after {len(problems):,} mistakes the file was not read on"))
            break
    if not rows and not problems:
        problems.append((0, "the deck has no rows"))
    if _version(file) != stated:
        problems.append((0, "the file changed while it was read: replace a deck by renaming a complete file"))
    if problems:
        raise DeckError(deck_id, problems)
    return Deck(deck_id, stated, tuple(rows))


def _header_faults(columns: list[str]) -> list[str]:
    if tuple(columns) == VENDOR_HEADER:
        return ["this is the vendor's rate card: turn it into a deck with `credits rates import`"]
    faults = [f"column {name} is missing" for name in REQUIRED if name not in columns]
    faults += [f"column {name!r} is unknown" for name in columns if name not in REQUIRED + OPTIONAL]
    faults += [f"column {name} appears twice" for name in sorted({c for c in columns if columns.count(c) > 1})]
    return faults
