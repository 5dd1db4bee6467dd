"""The worker's clock is the machine's, believed only while the machine's own pace and the broker bear it out.

A clock that is ahead does what cannot be undone: it forfeits lots before their time and counts payments to days that
have not come. So a worker ends before it commits by a clock that is wrong for sure.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

MAX_WRONG_S: Final = 900
"""Fifteen minutes: as far as usage may be in the future, far more than clocks that are kept in time ever differ by."""


class ClockWrongError(Exception):
    """The machine's clock has leapt, or is another one than the broker's.

    Operator action: compare both, and start time synchronisation; nothing of the running cycle was committed.
    """


class SteadyClock:
    """Tells the time, and raises `ClockWrongError` when the clock was put forward or back since the start."""

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic) -> None:
        self._wall = wall
        self._steady = steady
        self._apart_s = wall() - steady()

    def __call__(self) -> datetime:
        """Returns the time in UTC."""
        now_s = self._wall()
        leapt_s = now_s - self._steady() - self._apart_s
        if abs(leapt_s) > MAX_WRONG_S:
            raise ClockWrongError(
                f"the clock of this machine was put {_way(leapt_s, 'forward', 'back')} since the start"
            )
        return datetime.fromtimestamp(now_s, UTC)


def compare(before_s: float, appended_s: float, after_s: float) -> None:
    """Raises `ClockWrongError` when a broker appended a record at a time that was not between two of ours.

    `appended_s` is the broker's time, the others are ours before the record was sent and after it was acknowledged: how
    long that took makes no difference.
    """
    wrong_s = max(before_s - appended_s, 0.0) or min(after_s - appended_s, 0.0)
    if abs(wrong_s) > MAX_WRONG_S:
        raise ClockWrongError(f"the clock of this machine is {_way(wrong_s, 'ahead of', 'behind')} the broker's")


def _way(seconds: float, ahead: str, behind: str) -> str:
    return f"{abs(seconds):.0f} s {ahead if seconds > 0 else behind}"
