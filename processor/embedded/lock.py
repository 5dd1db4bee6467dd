"""An exclusive lock on a directory that outlives its owner where a child inherits it."""

import fcntl
import time
from pathlib import Path
from typing import Self

from processor.embedded.errors import BrokerError

WAIT_S = 20.0
POLL_S = 0.05


class DirectoryLock:
    """A held lock; every process that inherits the descriptor holds it too, until the last one has closed it.

    Waits for a broker that is stopping; raises `BrokerError` when the directory stays in use.
    """

    def __init__(self, directory: Path) -> None:
        self._file = (directory / "lock").open("ab")
        deadline = time.monotonic() + WAIT_S
        while not self._taken():
            if time.monotonic() > deadline:
                self._file.close()
                raise BrokerError(f"Another broker uses {directory}", "Stop that one, or choose another --data-dir.")
            time.sleep(POLL_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def fileno(self) -> int:
        """Returns the descriptor that carries the lock."""
        return self._file.fileno()

    def _taken(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
