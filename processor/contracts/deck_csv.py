"""The CSV of rate decks, read as a stream: one row per line, so that a mistake can be named by its line."""

import csv
from collections.abc import Iterator
from typing import BinaryIO, Final

MAX_ROWS: Final = 1_000_000
"""Ten times a full A-Z deck; bounds the memory of a worker."""

Problem = tuple[int, str]
"""A line number, 0 when it is about the whole file, and what is wrong there."""


class DeckError(ValueError):
    """A deck file cannot be used; `problems` holds every mistake with its line, 0 when it is about the whole file."""

    def __init__(self, name: str, problems: list[Problem]) -> None:
        lines = "; ".join(f"line {line}: {problem}" if line else problem for line, problem in problems[:5])
        more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
        super().__init__(f"{name}: {lines}{more}")
        self.name = name
        self.problems = problems


def read(file: BinaryIO, name: str) -> Iterator[tuple[int, list[str]]]:
    """Yields the lines with their numbers, split into fields; a byte order mark and empty lines at the end are skipped.

    Raises `DeckError` for what is not CSV in UTF-8, and for more than `MAX_ROWS` rows below the header.
    """
    lines = csv.reader(_text(file, name), strict=True)
    number = empty = 0
    try:
        for number, fields in enumerate(lines, 1):
            if lines.line_num != number:
                raise DeckError(name, [(number, "the line is not CSV: a field in quotes goes on in the next line")])
            if len(fields) < 2 and not "".join(fields).strip():
                empty = empty or number
                continue
            if empty:
                yield empty, []
                empty = 0
            if number > MAX_ROWS + 1:
                raise DeckError(name, [(0, f"the deck has more than {MAX_ROWS:,} rows")])
            yield number, fields
    except csv.Error as error:
        raise DeckError(name, [(number + 1, f"the line is not CSV: {error}")]) from None


def _text(file: BinaryIO, name: str) -> Iterator[str]:
    encoding = "utf-8-sig"
    for number, line in enumerate(file, 1):
        try:
            yield line.decode(encoding)
        except UnicodeDecodeError:
            raise DeckError(name, [(number, "the file is not UTF-8")]) from None
        encoding = "utf-8"
