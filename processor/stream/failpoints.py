"""Lets a test stop the process exactly after one named step of the commit protocol.

`CREDITS_FAILPOINT=B4:3:kill` ends the process by SIGKILL the third time step B4 is done; `freeze` stops it by SIGSTOP
instead, so that it comes back as a zombie. Unset, which is always outside tests, a step costs one comparison.
"""

import os
import signal
import threading
from typing import Final, Literal

Step = Literal["W1", "A1", "A2", "A3", "B1", "B2", "B3", "B4", "B5", "B6", "B7", "R1"]

_SIGNALS: Final = {"kill": signal.SIGKILL, "freeze": signal.SIGSTOP}


class Failpoint:
    """Counts how often its step was reached and strikes at the given count."""

    def __init__(self, setting: str) -> None:
        step, count, action = setting.split(":")
        self._step, self._left, self._signal = step, int(count), _SIGNALS[action]

    def reached(self, step: Step) -> None:
        """Strikes when `step` is the one to strike at and its time has come."""
        if step == self._step:
            self._left -= 1
            if self._left == 0:
                # To this thread, which is then stopped before its next step: another one might take its time.
                signal.pthread_kill(threading.get_ident(), self._signal)


_failpoint = Failpoint(os.environ["CREDITS_FAILPOINT"]) if "CREDITS_FAILPOINT" in os.environ else None


def done(step: Step) -> None:
    """Marks a step of the protocol as done."""
    if _failpoint is not None:
        _failpoint.reached(step)
