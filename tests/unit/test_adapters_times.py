"""Vendor times become UTC; what clocks never showed is refused."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from processor.adapters import times
from processor.adapters.outcome import RowRejected

BERLIN = ZoneInfo("Europe/Berlin")


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


def test_seven_fraction_digits_are_cut_to_microseconds() -> None:
    assert times.iso("2026-03-02T09:12:03.2589939Z", "it") == utc(2026, 3, 2, 9, 12, 3, 258993)


def test_an_offset_is_turned_into_utc() -> None:
    assert times.iso("2026-03-02T10:12:03+01:00", "it") == utc(2026, 3, 2, 9, 12, 3)


@pytest.mark.parametrize("text", [None, "", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00.0000000Z"])
def test_the_year_1_means_that_there_is_no_time(text: str | None) -> None:
    assert times.iso(text, "it") is None


@pytest.mark.parametrize(
    "text", ["2026-03-02T09:12:03", "yesterday", "2026-13-02T09:12:03Z", "9999-12-31T23:59:59-01:00"]
)
def test_a_time_without_zone_or_sense_is_refused(text: str) -> None:
    with pytest.raises(RowRejected, match="time_invalid"):
        times.iso(text, "it")


@pytest.mark.parametrize(
    "text",
    [
        "Mon, 02 Mar 2026 09:12:03 +0000",
        "Mon, 2 Mar 2026 09:12:03 +0000",
        "Mon, 02 Mar 2026 10:12:03 +0100",
        "2026-03-02T09:12:03Z",
    ],
)
def test_mail_times_are_read(text: str) -> None:
    assert times.rfc2822(text, "it") == utc(2026, 3, 2, 9, 12, 3)


@pytest.mark.parametrize(
    "text",
    ["Mon, 02 Mrz 2026 09:12:03 +0000", "soon", "Mon, 31 Feb 2026 09:12:03 +0000", "Mon, 02 Mar 2026 09:12:03 -0000"],
)
def test_other_mail_times_are_refused(text: str) -> None:
    with pytest.raises(RowRejected, match="time_invalid"):
        times.rfc2822(text, "it")


def test_a_local_time_is_one_of_the_zone() -> None:
    assert times.local("2026-03-02 10:00:00", BERLIN, "it") == utc(2026, 3, 2, 9)


def test_a_local_time_that_clocks_left_out_is_refused() -> None:
    with pytest.raises(RowRejected, match="does not exist in Europe/Berlin"):
        times.local("2026-03-29 02:30:00", BERLIN, "it")


def test_a_repeated_local_time_has_two_meanings() -> None:
    first, second = (times.local("2026-10-25 02:30:00", BERLIN, "it", fold=fold) for fold in (0, 1))
    assert (first, second) == (utc(2026, 10, 25, 0, 30), utc(2026, 10, 25, 1, 30))


@pytest.mark.parametrize("microseconds", [10**19, -(10**19)])
def test_an_epoch_beyond_the_calendar_is_refused(microseconds: int) -> None:
    with pytest.raises(RowRejected, match="time_invalid"):
        times.epoch_us(microseconds, "it")


@pytest.mark.parametrize("apart_ms", [-1000, 0, 1000])
def test_times_that_agree_with_the_duration_to_the_second_are_accepted(apart_ms: int) -> None:
    start = utc(2026, 3, 2)
    times.check(start, start + timedelta(milliseconds=60_000 + apart_ms), 60_000)


@pytest.mark.parametrize("apart_ms", [-1001, 1001])
def test_times_that_contradict_the_duration_are_refused(apart_ms: int) -> None:
    start = utc(2026, 3, 2)
    with pytest.raises(RowRejected, match="inconsistent_times"):
        times.check(start, start + timedelta(milliseconds=60_000 + apart_ms), 60_000)


def test_a_start_that_is_that_of_ringing_is_moved_to_the_answer() -> None:
    start, end = utc(2026, 3, 2, 9), utc(2026, 3, 2, 9, 1, 20)
    assert times.answered(start, end, 60_000) == utc(2026, 3, 2, 9, 0, 20)
    assert times.answered(start, end, 80_000) == start
    with pytest.raises(RowRejected, match="inconsistent_times"):
        times.answered(start, end, 90_000)
