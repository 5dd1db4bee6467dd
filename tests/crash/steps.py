"""Every step of the commit protocol, and how a worker comes to die exactly after it."""

import signal

from tests.crash.platform import Platform
from tests.crash.workers import WorkerProcess, lag, wait_until

MORE = 800
"""Two cycles of 400."""

SMALL_BATCHES = {"CREDITS_BATCH_MAX_EVENTS": "400", "CREDITS_CHECKPOINT_INTERVAL_S": "0"}
"""Many cycles, each of which is in the local checkpoint soon after its commit."""

AT_THE_START = ("W1:1", "A1:1", "A2:1", "A3:1")
IN_A_CYCLE = ("B1:2", "B2:2", "B3:2", "B4:2", "B5:2", "B6:2", "B7:2")
AT_THE_END = "R1:1"
EVERY_STEP = (*AT_THE_START, *IN_A_CYCLE, AT_THE_END)


def die_after(failpoint: str, bootstrap: str, platform: Platform, worker: WorkerProcess) -> None:
    """Starts the worker, with enough to do, and waits until it is dead."""
    platform.emit(MORE)
    platform.flush()
    waiting = lag(bootstrap)
    worker.start(failpoint + ":kill")
    if failpoint == AT_THE_END:
        wait_until("some input committed", lambda: lag(bootstrap) < waiting)
        assert worker.terminate() == -signal.SIGKILL
        return
    while (code := worker.ended()) == 75:  # a broker on a busy machine has not answered in time
        worker.start(failpoint + ":kill")
    assert code == -signal.SIGKILL
