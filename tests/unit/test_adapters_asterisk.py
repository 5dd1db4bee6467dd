"""Rows of Asterisk's Master.csv."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from processor.adapters import Options, Rejected
from tests.unit.vendor_rows import OPTIONS, call, master, outcome, outcomes, reason, usage

BERLIN = Options(tenant_id="contoso", region="DE", zone=ZoneInfo("Europe/Berlin"))
LINE = (
    '"","1001","+442079460018","internal","""Adele"" <1001>","PJSIP/1001-0000002a","PJSIP/carrier-0000002b","Dial",'
    '"PJSIP/carrier","{start}","{answer}","{end}",{duration},{billsec},"{disposition}","DOCUMENTATION"'
)


def row(answer: str, end: str, billsec: int | str, start: str = "", disposition: str = "ANSWERED") -> list[str]:
    times = {"start": start or answer, "answer": answer, "end": end}
    return master(LINE.format(**times, duration=999, billsec=billsec, disposition=disposition))


def test_a_file_without_uniqueid_gives_calls_reasons_and_lines() -> None:
    found = outcomes("asterisk", "asterisk-master.csv")
    assert [each.line for each in found] == [1, 2, 3, 5, 6, 7, 8]
    out, busy, inbound, malformed, internal, toll_free, backwards = found
    assert (call(out).call_type, call(out).callee, call(out).user_id) == ("user_out", "+442079460018", "1001")
    assert (call(inbound).call_type, call(inbound).caller) == ("user_in", "+12065550123")
    assert (call(toll_free).call_type, call(toll_free).number_type) == ("ucap_in", "service_toll_free")
    assert [reason(each) for each in (busy, malformed, internal, backwards)] == [
        "not_answered",
        "schema_invalid",
        "not_pstn",
        "inconsistent_times",
    ]


def test_talk_time_counts_and_not_ring_time() -> None:
    out = outcomes("asterisk", "asterisk-master.csv")[0]
    assert call(out).connected_ms == 65_000  # `duration` says 74
    assert call(out).answered_at == datetime(2026, 3, 2, 10, 0, 9, tzinfo=UTC)


def test_forks_of_one_uniqueid_are_two_events_and_a_repetition_is_the_same() -> None:
    first, second, _ = outcomes("asterisk", "asterisk-master-uniqueid.csv", BERLIN)
    assert call(first).call_id == call(second).call_id == "1792888190.42"
    assert usage(first).event_id != usage(second).event_id
    assert usage(first).value == usage(outcomes("asterisk", "asterisk-master-uniqueid.csv", BERLIN)[0]).value


def test_rows_without_uniqueid_are_told_apart_by_their_content() -> None:
    same, again = (
        row("2026-03-02 10:00:00", "2026-03-02 10:01:00", 60),
        row("2026-03-02 10:00:00", "2026-03-02 10:01:00", 60),
    )
    other = [*same]
    other[5] = "PJSIP/1001-0000002c"
    ids = [usage(outcome("asterisk", each)).event_id for each in (same, again, other)]
    assert ids[0] == ids[1] != ids[2]


def test_times_have_the_zone_of_the_option() -> None:
    fields = row("2026-07-02 10:00:00", "2026-07-02 10:01:00", 60)
    assert call(outcome("asterisk", fields, BERLIN)).answered_at == datetime(2026, 7, 2, 8, tzinfo=UTC)
    assert call(outcome("asterisk", fields)).answered_at == datetime(2026, 7, 2, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("answer", "end", "billsec", "answered_at"),
    [
        # Clocks go back from 03:00 to 02:00 at 01:00 UTC.
        ("2026-10-25 01:59:00", "2026-10-25 02:01:00", 120, (23, 59)),
        ("2026-10-25 02:30:00", "2026-10-25 02:10:00", 2400, (0, 30)),
        ("2026-10-25 02:30:00", "2026-10-25 02:31:00", 60, (0, 30)),
        ("2026-10-25 02:30:00", "2026-10-25 02:31:00", 3660, (0, 30)),
        ("2026-10-25 02:59:30", "2026-10-25 03:00:30", 60, (1, 59)),
        ("2026-10-25 02:59:30", "2026-10-25 03:00:30", 3660, (0, 59)),
        # They go forward from 02:00 to 03:00 at 01:00 UTC.
        ("2026-03-29 01:59:00", "2026-03-29 03:01:00", 120, (0, 59)),
    ],
)
def test_the_talk_time_says_which_of_two_equal_hours_it_was(
    answer: str, end: str, billsec: int, answered_at: tuple[int, int]
) -> None:
    data = call(outcome("asterisk", row(answer, end, billsec), BERLIN))
    assert (data.answered_at.hour, data.answered_at.minute) == answered_at
    assert (data.ended_at - data.answered_at).total_seconds() == billsec


def test_an_hour_that_clocks_left_out_is_refused_with_a_hint() -> None:
    found = outcomes("asterisk", "asterisk-master-uniqueid.csv", BERLIN)[2]
    assert isinstance(found, Rejected)
    assert found.reason == "time_invalid"
    assert "--timezone" in found.message


@pytest.mark.parametrize("disposition", ["NO ANSWER", "BUSY", "FAILED", "CONGESTION"])
def test_a_call_that_nobody_answered_is_no_usage(disposition: str) -> None:
    assert reason(outcome("asterisk", row("", "2026-03-02 10:00:21", 0, disposition=disposition))) == "not_answered"


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        (["a"] * 15, "schema_invalid"),
        (["a"] * 19, "schema_invalid"),
        (row("2026-03-02 10:00:00", "2026-03-02 10:01:00", "twelve"), "schema_invalid"),
        (row("2026-03-02 10:00:00", "2026-03-02 10:01:00", "-60"), "schema_invalid"),
        (row("2026-03-02 10:00:00", "2026-03-02 10:01:00", "١"), "schema_invalid"),
        (row("", "2026-03-02 10:01:00", 60), "time_invalid"),
        (row("2026-03-02 10:00:00", "later", 60), "time_invalid"),
        (row("2026-03-02 10:05:00", "2026-03-02 10:01:00", 60), "inconsistent_times"),
    ],
)
def test_a_damaged_row_says_why(fields: list[str], why: str) -> None:
    assert reason(outcome("asterisk", fields, OPTIONS)) == why
