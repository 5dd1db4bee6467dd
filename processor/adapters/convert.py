"""Converts files and rows of any vendor; every row has exactly one outcome."""

from collections.abc import Callable, Iterator
from typing import IO, Final, Literal, TypeVar, get_args

from processor.adapters import asterisk, freeswitch, graph, twilio
from processor.adapters.options import Options
from processor.adapters.outcome import Converted, LeftOut, Outcome, Rejected, RowLeft, RowRejected, Usage
from processor.adapters.rows import CsvRow

Row = TypeVar("Row", str, list[str])
Vendor = Literal["graph", "freeswitch", "asterisk", "twilio"]
VENDORS: Final[tuple[Vendor, ...]] = get_args(Vendor)

_JSON: Final[dict[str, Callable[[str, Options], Usage]]] = {
    graph.VENDOR: graph.usage,
    freeswitch.VENDOR: freeswitch.usage,
    twilio.VENDOR: twilio.usage,
}
_ROWS: Final = {
    graph.VENDOR: graph.rows,
    freeswitch.VENDOR: freeswitch.rows,
    asterisk.VENDOR: asterisk.rows,
    twilio.VENDOR: twilio.rows,
}


def convert(vendor: Vendor, stream: IO[bytes], options: Options) -> Iterator[Outcome]:
    """Converts the rows of a file, in constant memory and in their order. Raises only what reading `stream` raises."""
    for row in _ROWS[vendor](stream):
        if isinstance(row, Rejected):
            yield row
        elif isinstance(row, CsvRow):
            yield _outcome(asterisk.usage, row.fields, options, row.line, row.text)
        else:
            yield _outcome(_JSON[vendor], row.text, options, row.line, row.text)


def convert_row(vendor: Vendor, row: str | list[str], options: Options, line: int = 1) -> Outcome:
    """Converts one row: a JSON object as text, or the columns of Asterisk. `line` is repeated in the outcome."""
    if isinstance(row, list):
        return _outcome(asterisk.usage, row, options, line, ",".join(row))
    return _outcome(_JSON[vendor], row, options, line, row)


def _outcome(usage: Callable[[Row, Options], Usage], row: Row, options: Options, line: int, text: str) -> Outcome:
    try:
        return Converted(line, usage(row, options))
    except RowLeft as left:
        return LeftOut(line, left.reason)
    except RowRejected as rejected:
        return Rejected(line, rejected.reason, rejected.message, text)
