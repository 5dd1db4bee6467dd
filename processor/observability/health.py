"""Whether a worker lives and whether it is ready, answered from memory: a probe never calls Kafka.

Live means that its loop turns: what does not get over that, a restart mends. Ready means that the worker holds
the partitions it was given and that no commit hangs; a worker that is not ready may be rebuilding or waiting for a
broker, and killing it would only make it start over.
"""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final

Check = Callable[[], str | None]
"""Returns what is wrong, or None."""

TICK_S: Final = 1.0
LIVE_WITHIN_S: Final = 30.0
"""A cycle of 100,000 records keeps the loop for some seconds; ten times that is a hang."""

COMMIT_WITHIN_S: Final = 10.0
"""A commit takes milliseconds; one that takes this long waits for a broker."""


class Health:
    """Answers the probes of one worker, of the meter or of payments.

    `assigned` tells whether the last rebalance has been completed; `committing_since` is the monotonic time at which
    the running commit began, None while there is none; `live_within_s` is how long a turn of the loop may take.
    """

    def __init__(
        self,
        assigned: Callable[[], bool],
        committing_since: Callable[[], float | None],
        live_within_s: float = LIVE_WITHIN_S,
    ) -> None:
        self._assigned, self._committing_since = assigned, committing_since
        self._live_within_s = live_within_s
        self._ticked_at = monotonic()
        self._stopping = False

    async def tick(self) -> None:
        """Runs on the worker's event loop for as long as the worker does."""
        while True:
            self.turned()
            await asyncio.sleep(TICK_S)

    def turned(self) -> None:
        """The worker's loop has come round."""
        self._ticked_at = monotonic()

    def stopping(self) -> None:
        """The worker was told to stop: not ready from now on."""
        self._stopping = True

    def live(self) -> str | None:
        """`/live`."""
        silent_s = monotonic() - self._ticked_at
        return f"the loop has stood still for {silent_s:.0f} s" if silent_s > self._live_within_s else None

    def ready(self) -> str | None:
        """`/ready`."""
        if self._stopping:
            return "stopping"
        if not self._assigned():
            return "waiting for partitions, or rebuilding them"
        since = self._committing_since()
        if since is not None and monotonic() - since > COMMIT_WITHIN_S:
            return f"a commit has not been answered for {monotonic() - since:.0f} s"
        return self.live()
