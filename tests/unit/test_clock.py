"""A clock that is wrong for sure is noticed, and slowness is not taken for it."""

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.stream.clock import MAX_WRONG_S, ClockWrongError, SteadyClock, compare

START_S = 1_790_000_000.0


class Machine:
    """A clock on the wall, and a steady one that nobody can set."""

    def __init__(self) -> None:
        self.wall_s = START_S
        self.steady_s = 77.0
        self.clock = SteadyClock(lambda: self.wall_s, lambda: self.steady_s)

    def run(self, seconds: float) -> None:
        self.wall_s += seconds
        self.steady_s += seconds


def test_a_clock_that_runs_tells_the_time_for_years():
    machine = Machine()
    machine.run(10 * 366 * 86_400)
    assert machine.clock() == datetime.fromtimestamp(machine.wall_s, UTC)


@pytest.mark.parametrize(("leap_s", "said"), [(901, "901 s forward"), (400 * 86_400, "forward"), (-901, "901 s back")])
def test_a_clock_that_is_put_forward_or_back_by_more_than_15_minutes_is_not_believed(leap_s, said):
    machine = Machine()
    machine.run(60)
    machine.wall_s += leap_s
    with pytest.raises(ClockWrongError, match=said):
        machine.clock()


@pytest.mark.parametrize("leap_s", [899, -899, 3600 / 60])
def test_a_smaller_correction_is_taken_as_it_is(leap_s):
    machine = Machine()
    machine.wall_s += leap_s
    assert machine.clock().timestamp() == pytest.approx(machine.wall_s)


moments = st.floats(0, 10 * 86_400)


@given(st.floats(-MAX_WRONG_S, MAX_WRONG_S), moments, moments)
def test_a_right_clock_is_believed_however_long_the_broker_takes(wrong_s, until_appended_s, until_acknowledged_s):
    """Wrong by fifteen minutes counts as right; a broker that was frozen for days in between changes nothing."""
    appended_s = START_S + until_appended_s
    compare(START_S + wrong_s, appended_s, math.ceil(appended_s + until_acknowledged_s + wrong_s))


@pytest.mark.parametrize(
    ("wrong_s", "said"), [(902, "902 s ahead of"), (86_400 * 365, "ahead"), (-902, "901 s behind")]
)
def test_a_clock_that_is_not_the_brokers_is_not_believed(wrong_s, said):
    with pytest.raises(ClockWrongError, match=said):
        compare(START_S + wrong_s, START_S, START_S + 1 + wrong_s)
