"""Cuts a file into its rows, in constant memory: JSON in every form that vendors deliver, and CSV.

Rows stay text. Each is decoded on its own by its adapter, so that one bad row spoils no other, and numbers are read
from their digits.
"""

import codecs
import csv
import re
from collections.abc import Iterator
from json import JSONDecoder
from typing import IO, Any, Final, NamedTuple

from processor.adapters.outcome import Rejected

CHUNK: Final = 1 << 18
MAX_ROW: Final = 1 << 20
"""Characters of a row at most: the longest real one, of FreeSWITCH, has some 20,000."""

EXCERPT: Final = 200
"""Characters shown of what could not be cut into rows."""

CLOSING: Final = '}]"'
GOING_ON: Final = ".eE"

_SPACE: Final = re.compile(r"[ \t\r\n]*")
_NEXT_DOCUMENT: Final = re.compile(r"\n(?=[\[{])")
_scan: Final = JSONDecoder(strict=False).raw_decode


class Row(NamedTuple):
    """One row; `line` is where it begins, counted from 1."""

    line: int
    text: str


class CsvRow(NamedTuple):
    """One row of a CSV file, with its text as delivered."""

    line: int
    text: str
    fields: list[str]


def json_rows(stream: IO[bytes], lists: frozenset[str] = frozenset()) -> Iterator[Row | Rejected]:
    """Yields the rows of newline-delimited JSON, of arrays, of pages, and of any of them one after the other.

    A page is an object that holds its rows under one of the names in `lists`. What is no JSON is rejected; reading
    goes on at the next line that begins a document, except inside an array, where nothing tells the next row.
    """
    text = _Text(stream)
    page = re.compile(rf'"(?:{"|".join(map(re.escape, sorted(lists)))})"\s*:\s*\[').search if lists else None
    while first := text.skip():
        line = text.line
        try:
            if first == "[":
                yield from text.elements()
            elif (row := text.whole_line()) is not None and (page is None or page(row) is None):
                text.advance(text.at + len(row))
                yield Row(line, row)
            elif first == "{" and lists:
                yield from text.members(lists)
            else:
                yield text.value()
        except _Malformed as fault:
            text.go_back()
            hint = "; nothing after it was read" if text.inside else ""
            yield Rejected(text.line, "not_json", f"{fault}{hint}", text.text[text.at : text.at + EXCERPT])
            if text.inside:
                return
            text.resume()


def csv_rows(stream: IO[bytes]) -> Iterator[CsvRow | Rejected]:
    """Yields the rows of an RFC 4180 file without heading, in UTF-8."""
    taken: list[str] = []

    def lines() -> Iterator[str]:
        while raw := stream.readline(MAX_ROW):
            taken.append(raw.decode("utf-8", "surrogateescape"))
            yield taken[-1]

    reader = csv.reader(lines())
    line = 1
    while True:
        try:
            fields = next(reader, None)
        except csv.Error as error:
            # A quote that never ends takes the rows after it along: they are in the text.
            yield Rejected(line, "not_csv", f"the row is not CSV: {error}", "".join(taken))
        else:
            if fields is None:
                return
            if fields:
                yield CsvRow(line, "".join(taken).rstrip("\r\n"), fields)
        line += len(taken)
        taken.clear()


class _Malformed(Exception):  # noqa: N818
    """What stands at the present place is not what JSON allows there."""


class _Text:
    """The part of a stream that is being looked at, with a position in it and its line."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode
        self._kept: int | None = None
        self.text = ""
        self.at = 0
        self.line = 1
        self.inside = False
        """An array is being read."""
        self._ended = False
        self._more()
        if self.text.startswith("\ufeff"):
            self.at = 1

    def advance(self, to: int) -> None:
        """Moves forward and counts the lines."""
        self.line += self.text.count("\n", self.at, to)
        self.at = to

    def skip(self) -> str:
        """Skips white space and returns the next character; empty at the end."""
        while True:
            found = _SPACE.match(self.text, self.at)
            self.advance(found.end() if found is not None else self.at)
            if self.at < len(self.text):
                return self.text[self.at]
            if not self._more():
                return ""

    def whole_line(self) -> str | None:
        """Returns the rest of the line when it may be a whole object: the usual row needs no second look."""
        while (end := self.text.find("\n", self.at)) < 0:
            if len(self.text) - self.at > MAX_ROW:
                return None
            if not self._more():
                end = len(self.text)
                break
        row = self.text[self.at : end].rstrip()
        return row if row.endswith("}") and len(row) <= MAX_ROW else None

    def value(self) -> Row:
        """Takes one JSON value."""
        while (end := self._end()) is None:
            if len(self.text) - self.at > MAX_ROW:
                raise _Malformed(f"this is not JSON, or longer than {MAX_ROW} characters")
            if not self._more():
                raise _Malformed("this is not JSON")
        row = Row(self.line, self.text[self.at : end])
        self.advance(end)
        return row

    def _end(self) -> int | None:
        """Returns where the value ends that begins here; None while what was read does not tell."""
        try:
            end = _scan(self.text, self.at)[1]
        except (ValueError, RecursionError):  # no JSON, or not all of it yet
            return None
        if self.text[end - 1] in CLOSING or self._ended:
            return end
        # A number may go on.
        return end if end < len(self.text) and self.text[end] not in GOING_ON else None

    def elements(self) -> Iterator[Row]:
        """Takes an array, value by value."""
        self.inside, following = True, "["
        while self.skip() == following:
            self.advance(self.at + 1)
            if self.skip() == "]" and following == "[":
                break
            yield self.value()
            following = ","
        if self.skip() != "]":
            raise _Malformed("a comma or the end of the list is missing")
        self.advance(self.at + 1)
        self.inside = False

    def members(self, lists: frozenset[str]) -> Iterator[Row]:
        """Takes an object: the rows of its lists, or itself when it has none."""
        self.skip()
        line, self._kept, following, page = self.line, self.at, "{", False
        while self.skip() == following:
            self.advance(self.at + 1)
            if following == "{" and self.skip() == "}":
                break
            if self.skip() != '"':
                raise _Malformed("the name of a field is missing")
            name: Any = _scan(self.value().text)[0]
            if self.skip() != ":":
                raise _Malformed("a colon is missing")
            self.advance(self.at + 1)
            if self.skip() == "[" and name in lists:
                page, self._kept = True, None
                yield from self.elements()
            else:
                self.value()
            following = ","
        if self.skip() != "}":
            raise _Malformed("a comma or the end of the object is missing")
        self.advance(self.at + 1)
        if not page and self._kept is not None:
            row = Row(line, self.text[self._kept : self.at])
            self._kept = None
            yield row

    def go_back(self) -> None:
        """Returns to where the object began that turned out to be none."""
        if self._kept is not None:
            self.line -= self.text.count("\n", self._kept, self.at)
            self.at, self._kept = self._kept, None

    def resume(self) -> None:
        """Goes on where a line begins a document."""
        while (found := _NEXT_DOCUMENT.search(self.text, self.at)) is None:
            self.advance(len(self.text) - 1 if self.text.endswith("\n") and not self._ended else len(self.text))
            if not self._more():
                return
        self.advance(found.end())

    def _more(self) -> bool:
        """Reads on and forgets what is behind; False at the end."""
        added = ""
        while not added and not self._ended:
            chunk = self._stream.read(CHUNK)
            self._ended = not chunk
            added = self._decode(chunk, final=self._ended)
        keep = self.at if self._kept is None else self._kept
        self.text = self.text[keep:] + added
        self.at -= keep
        if self._kept is not None:
            self._kept = 0
            if self.at > MAX_ROW:
                raise _Malformed(f"the row is longer than {MAX_ROW} characters")
        return bool(added)
