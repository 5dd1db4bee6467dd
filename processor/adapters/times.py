"""Times as vendors write them, in UTC, and whether a leg's times agree with its duration."""

import re
from calendar import month_abbr
from datetime import UTC, datetime, timedelta, tzinfo
from email.utils import parsedate_to_datetime
from typing import Final

from processor.adapters.outcome import RowRejected
from processor.domain.usage import TOLERANCE_MS

DAY_MS: Final = 86_400_000
_MONTHS: Final = {name: f"{month:02}" for month, name in enumerate(month_abbr) if name}
_MAIL: Final = re.compile(r"[A-Z][a-z]{2}, (\d\d) ([A-Z][a-z]{2}) (\d{4}) (\d\d:\d\d:\d\d) \+0000", re.ASCII).fullmatch
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def iso(text: str | None, what: str) -> datetime | None:
    """Reads an ISO 8601 time with its zone; digits beyond microseconds are cut off, as Graph writes seven.

    Returns None where there is none: an empty field or the year 1, .NET's way to say so. Raises `RowRejected`.

    >>> str(iso("2026-03-02T09:12:03.2589935Z", "the start"))
    '2026-03-02 09:12:03.258993+00:00'
    """
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise RowRejected("time_invalid", f"{what} is no ISO 8601 time") from None
    if at.year == 1:
        return None
    if at.tzinfo is None:
        raise RowRejected("time_invalid", f"{what} has no time zone")
    return _utc(at, what)


def rfc2822(text: str | None, what: str) -> datetime | None:
    """Reads a time as e-mail writes it, `Mon, 02 Mar 2026 09:12:03 +0000`, or as ISO 8601. Raises `RowRejected`."""
    if not text or text[:1].isdecimal():
        return iso(text, what)
    usual = _MAIL(text)
    if usual is not None and usual[2] in _MONTHS:  # a tenth of the time of the general parser
        return iso(f"{usual[3]}-{_MONTHS[usual[2]]}-{usual[1]}T{usual[4]}Z", what)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        raise RowRejected("time_invalid", f"{what} is no RFC 2822 time") from None
    if at.tzinfo is None:
        raise RowRejected("time_invalid", f"{what} has no time zone")
    return _utc(at, what)


def epoch_us(microseconds: int, what: str) -> datetime | None:
    """Reads microseconds since 1970; None for 0, a switch's way to say that it never happened."""
    if microseconds == 0:
        return None
    try:
        return _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        raise RowRejected("time_invalid", f"{what} is out of range") from None


def local(text: str, zone: tzinfo, what: str, *, fold: int = 0) -> datetime:
    """Reads a time without zone as one of `zone`.

    `fold` 1 is the second of two equal times when clocks go back. Raises `RowRejected` for a time that clocks going
    forward left out: then the zone is wrong.
    """
    try:
        naive = datetime.fromisoformat(text)
    except ValueError:
        raise RowRejected("time_invalid", f"{what} is no time") from None
    if naive.tzinfo is not None:
        return _utc(naive, what)
    at = _utc(naive.replace(tzinfo=zone, fold=fold), what)
    if at.astimezone(zone).replace(tzinfo=None) != naive:
        raise RowRejected("time_invalid", f"{what} does not exist in {zone}: clocks went forward. Is --timezone right?")
    return at


def apart_ms(answered_at: datetime, ended_at: datetime, connected_ms: int) -> int:
    """Returns by how much the span exceeds the duration; negative when it is shorter."""
    return (ended_at - answered_at) // timedelta(milliseconds=1) - connected_ms


def check(answered_at: datetime, ended_at: datetime, connected_ms: int) -> None:
    """Raises `RowRejected` when the times and the duration contradict each other by more than a second."""
    if not -TOLERANCE_MS <= apart_ms(answered_at, ended_at, connected_ms) <= TOLERANCE_MS:
        raise RowRejected("inconsistent_times", "the duration differs from the end minus the answer by more than 1 s")


def answered(started_at: datetime, ended_at: datetime, connected_ms: int) -> datetime:
    """Returns when talking began, where the vendor's start may be that of ringing and its duration is of talking."""
    if apart_ms(started_at, ended_at, connected_ms) > TOLERANCE_MS:
        return ended_at - timedelta(milliseconds=connected_ms)
    check(started_at, ended_at, connected_ms)
    return started_at


def _utc(at: datetime, what: str) -> datetime:
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise RowRejected("time_invalid", f"{what} is out of range") from None
