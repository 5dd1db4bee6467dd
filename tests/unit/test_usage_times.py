"""A leg whose times cannot be right is parked before it can change anything."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from processor.domain.errors import InputRejected
from tests.unit.builders import NOW, Meter, call, conference

SECOND = timedelta(seconds=1)
MILLISECOND = timedelta(milliseconds=1)


def reason(message, meter: Meter | None = None) -> str | None:
    try:
        (meter or Meter()).apply(message)
    except InputRejected as rejected:
        return rejected.reason
    return None


@pytest.mark.parametrize(
    ("connected_ms", "expected"),
    [(61_000, None), (61_001, "inconsistent_times"), (59_000, None), (58_999, "inconsistent_times")],
)
def test_the_duration_may_differ_from_the_times_by_one_second(connected_ms, expected):
    assert reason(call(60, connected_ms=connected_ms)) == expected
    assert reason(conference(60, connected_ms=connected_ms)) == expected


def test_a_leg_that_ends_before_it_begins_is_inconsistent():
    message = call(0, answered_at=NOW, ended_at=NOW - 2 * SECOND)
    assert reason(message) == "inconsistent_times"


def test_a_leg_is_too_old_when_it_began_before_the_deduplication_window():
    window = timedelta(days=35)
    assert reason(call(60, NOW - window)) is None
    assert reason(call(60, NOW - window - MILLISECOND)) == "too_old"
    assert reason(call(60, NOW - timedelta(days=2)), Meter(deduplication=timedelta(days=1))) == "too_old"


def test_a_leg_may_end_as_far_in_the_future_as_clocks_may_differ():
    ahead = timedelta(seconds=900)
    assert reason(call(60, NOW + ahead - 60 * SECOND)) is None
    assert reason(call(60, NOW + ahead - 60 * SECOND + MILLISECOND)) == "in_future"


def test_a_day_long_leg_is_charged():
    assert reason(call(26 * 3600)) is None


def test_the_time_zone_of_a_time_changes_nothing():
    elsewhere = timezone(timedelta(hours=5, minutes=45))
    message = call(60, answered_at=(NOW - 60 * SECOND).astimezone(elsewhere), ended_at=NOW)
    assert reason(message) is None


@pytest.mark.parametrize("offset_h", [-14, 0, 14])
@pytest.mark.parametrize("at", [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)])
def test_the_ends_of_the_calendar_are_parked_like_any_other_wrong_time(at, offset_h):
    then = at.replace(tzinfo=timezone(timedelta(hours=offset_h)))
    assert reason(call(60, answered_at=then, ended_at=then)) == "inconsistent_times"
    assert reason(call(60, answered_at=then, ended_at=then, connected_ms=0)) in ("too_old", "in_future")


def test_direct_routing_rows_without_an_answer_are_parked_as_too_old():
    never = datetime(1, 1, 1, tzinfo=UTC)
    assert reason(call(0, answered_at=never, ended_at=never, call_type="dr_out")) == "too_old"


@pytest.mark.parametrize("kind", ["correction", "void"])
def test_a_correction_needs_an_original_that_is_known(kind):
    assert reason(call(record_kind=kind, corrects="event")) == "unknown_original"
    assert reason(conference(record_kind=kind, corrects="event")) == "unknown_original"


def test_a_parked_leg_leaves_no_trace():
    meter = Meter()
    assert reason(call(60, connected_ms=0), meter) == "inconsistent_times"
    assert (meter.account.revision, meter.balance) == (0, 0)
