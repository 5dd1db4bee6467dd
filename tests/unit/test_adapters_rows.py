"""Files are cut into rows in every form that vendors deliver, in constant memory, and a fault names its line."""

import io
import json
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.adapters.outcome import Rejected
from processor.adapters.rows import MAX_ROW, Row, csv_rows, json_rows

LISTS = frozenset({"value"})
ROWS = [{"id": "a", "n": 1.50, "t": 'x"}]{[,\\'}, {"id": "b", "nested": {"value": "[1]", "l": [1, {}]}}, {"id": "ü"}]


class Slowly(io.RawIOBase):
    """Hands out so many bytes at a time: every place in a file is once the end of what was read."""

    def __init__(self, content: bytes, step: int) -> None:
        self._content, self._step, self._at = content, step, 0

    def read(self, size: int = -1) -> bytes:  # noqa: ARG002
        piece = self._content[self._at : self._at + self._step]
        self._at += len(piece)
        return piece


def read(content: str | bytes, lists: frozenset[str] = LISTS, step: int = 1 << 20) -> list[Row | Rejected]:
    raw = content.encode() if isinstance(content, str) else content
    return list(json_rows(Slowly(raw, step), lists))  # type: ignore[arg-type]


def documents(found: list[Row | Rejected]) -> list[object]:
    assert [row for row in found if isinstance(row, Rejected)] == []
    return [json.loads(row.text) for row in found if isinstance(row, Row)]


FORMS = {
    "lines": "\n".join(map(json.dumps, ROWS)),
    "lines with an end": "".join(json.dumps(row) + "\r\n" for row in ROWS) + "\n\n",
    "array": json.dumps(ROWS),
    "indented array": json.dumps(ROWS, indent=2),
    "page": json.dumps(
        {"@odata.count": 3, "meta": {"value": [1]}, "value": ROWS, "@odata.nextLink": "https://x/?$skip=3"}
    ),
    "indented page": json.dumps({"value": ROWS, "page": 0}, indent=4),
    "pages": "\n".join(json.dumps({"value": [row]}, indent=1) for row in ROWS),
    "pages in lines": "\n".join(json.dumps({"value": [row]}) for row in ROWS),
    "empty pages between": '{"value": []}' + json.dumps({"value": ROWS}) + '{"value":[ ]}',
    "indented rows": "\n".join(json.dumps(row, indent=2) for row in ROWS),
    "with a byte order mark": "\ufeff" + json.dumps(ROWS),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("step", [1, 2, 7, 1 << 20])
def test_every_form_gives_the_same_rows_wherever_reading_pauses(form: str, step: int) -> None:
    assert documents(read(FORMS[form], step=step)) == ROWS


@pytest.mark.parametrize("form", ["lines", "array", "indented array", "indented rows"])
def test_without_names_of_lists_an_object_is_a_row(form: str) -> None:
    assert documents(read(FORMS[form], frozenset())) == ROWS
    assert documents(read(json.dumps({"value": ROWS}), frozenset())) == [{"value": ROWS}]


def test_a_row_knows_its_line() -> None:
    text = '\n{"value": [\n{"id": 1},\n\n {"id":\n2}]}\n{"id": 3}\n'
    assert [row.line for row in read(text)] == [3, 5, 7]


def test_an_empty_file_has_no_rows() -> None:
    assert read("") == read(" \n\n") == read("[]") == read('{"value": []}') == []


def test_a_damaged_line_spoils_no_other() -> None:
    found = read('{"id": 1}\n{"id": \n{"id": 2}\nnonsense\n{"id": 3}\n')
    assert [row.text for row in found if isinstance(row, Row)] == ['{"id": 1}', '{"id": 2}', '{"id": 3}']
    assert [(row.line, row.reason) for row in found if isinstance(row, Rejected)] == [(2, "not_json"), (4, "not_json")]


def test_after_damage_inside_an_array_nothing_is_read_and_it_is_said() -> None:
    *good, fault = read('[{"id": 1},\n {"id": 2} {"id": 3}]\n{"id": 4}\n')
    assert len(good) == 2
    assert isinstance(fault, Rejected)
    assert (fault.line, fault.reason) == (2, "not_json")
    assert "nothing after it was read" in fault.message


@pytest.mark.parametrize(
    "text", ["[", '[{"id": 1}', '[{"id": 1},', '{"value": [', '{"value"', '{"value": 1', "{", "[nonsense]"]
)
def test_a_file_that_ends_too_early_says_so(text: str) -> None:
    found = read(text)
    assert isinstance(found[-1], Rejected)
    assert found[-1].reason == "not_json"


@given(st.text(alphabet='{}[],:"\\ \nvalue1\x00', max_size=40), st.integers(1, 9))
def test_any_text_ends_in_rows_and_reasons(text: str, step: int) -> None:
    for row in read(text, step=step):
        assert row.line >= 1


def test_bytes_that_are_no_utf8_stay_in_their_row() -> None:
    good, bad, good_too = read(b'{"id": 1}\n{"id": "\xff"}\n{"id": 2}')
    assert isinstance(bad, Row)
    assert bad.text.encode("utf-8", "surrogateescape") == b'{"id": "\xff"}'
    assert [good.text, good_too.text] == ['{"id": 1}', '{"id": 2}']  # type: ignore[union-attr]


def test_deep_nesting_is_a_reason_and_no_crash() -> None:
    (fault,) = read('{"value": [' + "[" * 100_000)
    assert isinstance(fault, Rejected)


def test_a_row_without_end_is_given_up() -> None:
    found = read(('{"id": "' + "x" * (2 * MAX_ROW)).encode())
    assert [type(row) for row in found] == [Rejected]


class Endless(io.RawIOBase):
    """A page of many rows on one line, made up while it is read."""

    def __init__(self, count: int) -> None:
        self._pieces = self._make(count)

    def _make(self, count: int) -> Iterator[bytes]:
        yield b'{"value":['
        for number in range(count):
            yield b'%s{"id":"%08d","filler":"%s"}' % (b"," * (number > 0), number, b"x" * 500)
        yield b"]}"

    def read(self, size: int = -1) -> bytes:  # noqa: ARG002
        return b"".join(piece for piece, _ in zip(self._pieces, range(400), strict=False))


def peak(count: int) -> int:
    tracemalloc.start()
    try:
        assert sum(1 for _ in json_rows(Endless(count), LISTS)) >= count - count // 400 - 1  # type: ignore[arg-type]
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_file() -> None:
    assert peak(20_000) < 1.5 * peak(5_000)


def test_a_csv_row_may_have_several_lines_and_knows_the_first() -> None:
    found = list(csv_rows(io.BytesIO(b'a,"b\nc"\r\n\r\n"d",e\n')))
    assert [(row.line, row.fields) for row in found if not isinstance(row, Rejected)] == [
        (1, ["a", "b\nc"]),
        (4, ["d", "e"]),
    ]


def test_a_quote_that_never_ends_is_given_up_and_what_it_swallowed_is_kept() -> None:
    swallowed = b'"c' + b"x,y\n" * 50_000
    good, fault, *rest = csv_rows(io.BytesIO(b"a,b\n" + swallowed + b"d,e\n"))
    assert (good.line, fault.line) == (1, 2)
    assert isinstance(fault, Rejected)
    assert fault.row.startswith('"cx,y\nx,y\n')
    assert fault.row.count("\n") + len(rest) == 50_001


def test_a_line_without_end_is_read_in_pieces() -> None:
    assert len(list(csv_rows(io.BytesIO(b"1," * MAX_ROW)))) == 2
