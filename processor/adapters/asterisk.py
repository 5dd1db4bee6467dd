"""Asterisk: `Master.csv` of cdr_csv, with and without the columns `uniqueid` and `userfield`.

`duration` includes ringing, `billsec` does not. Times have no zone. Source: docs.asterisk.org, CDR specification.
"""

from collections.abc import Iterator
from datetime import datetime
from hashlib import blake2b
from typing import IO, Final, NamedTuple

from processor.adapters import events, times
from processor.adapters.options import Options
from processor.adapters.outcome import Rejected, RowLeft, RowRejected, Usage
from processor.adapters.parties import parties
from processor.adapters.rows import CsvRow, csv_rows
from processor.domain.messages import CallData
from processor.domain.usage import TOLERANCE_MS

VENDOR: Final = "asterisk"
COLUMNS: Final = 16
"""accountcode … amaflags. `loguniqueid` adds a column, `loguserfield` another."""

ANSWERED: Final = "ANSWERED"
LATER: Final = ((0, 1), (1, 0), (1, 1))


class Record(NamedTuple):
    """The columns of every file, in their order."""

    accountcode: str
    src: str
    dst: str
    dcontext: str
    clid: str
    channel: str
    dstchannel: str
    lastapp: str
    lastdata: str
    start: str
    answer: str
    end: str
    duration: str
    billsec: str
    disposition: str
    amaflags: str


def rows(stream: IO[bytes]) -> Iterator[CsvRow | Rejected]:
    """Yields the rows of a `Master.csv`."""
    return csv_rows(stream)


def usage(fields: list[str], options: Options) -> Usage:
    """Converts one row. Raises `RowRejected` and `RowLeft`."""
    if not COLUMNS <= len(fields) <= COLUMNS + 2:
        raise RowRejected("schema_invalid", f"a row has {COLUMNS} to {COLUMNS + 2} columns, this one {len(fields)}")
    record = Record(*fields[:COLUMNS])
    if record.disposition != ANSWERED:
        raise RowLeft("not_answered")
    connected_ms = 1000 * _whole(record.billsec, "billsec")
    ends = parties(record.src, record.dst, options)
    answered_at, ended_at = _times(record, connected_ms, options)
    uniqueid = fields[COLUMNS] if len(fields) > COLUMNS else ""
    identity = _identity(record, uniqueid)
    data = CallData(
        tenant_id=options.tenant_id,
        call_id=uniqueid or identity,
        leg_id=identity,
        record_kind="final",
        call_type=ends.call_type,
        caller=ends.caller,
        callee=ends.callee,
        number_type=ends.number_type,
        answered_at=answered_at,
        ended_at=ended_at,
        connected_ms=connected_ms,
        user_id=record.accountcode or ends.user_id,
        user_country=options.region,
        credits_licensed=options.credits_licensed,
        emergency=ends.emergency,
    )
    return events.call(VENDOR, identity, data)


def _identity(record: Record, uniqueid: str) -> str:
    """Names the record by its content: a forked call writes several rows of one uniqueid, and many files have none.

    Channel names count up, so two calls differ even where people and seconds are the same.
    """
    content = "\x1f".join(record).encode("utf-8", "surrogateescape")
    digest = blake2b(content, digest_size=16).hexdigest()
    return f"{uniqueid}:{digest}" if uniqueid else digest


def _times(record: Record, connected_ms: int, options: Options) -> tuple[datetime, datetime]:
    """Places answer and end on the UTC line; in the hour that clocks repeat, `billsec` says which of the two it was."""
    zone = options.zone
    answered_at = times.local(record.answer, zone, "answer")
    ended_at = times.local(record.end, zone, "end")
    if abs(times.apart_ms(answered_at, ended_at, connected_ms)) <= TOLERANCE_MS:
        return answered_at, ended_at
    for first, last in LATER:
        answer, end = (
            times.local(record.answer, zone, "answer", fold=first),
            times.local(record.end, zone, "end", fold=last),
        )
        if abs(times.apart_ms(answer, end, connected_ms)) <= TOLERANCE_MS:
            return answer, end
    times.check(answered_at, ended_at, connected_ms)
    return answered_at, ended_at


def _whole(text: str, what: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise RowRejected("schema_invalid", f"{what} is no number of seconds")
    return int(text)
