"""The data directory of one worker process: locked, and the home of its stable instance name.

The name is the transactional id's suffix and the static group member's id. A restarted worker must have the same
one: then the broker aborts what its dead self left open (step W1) and gives its partitions back at once.
"""

import fcntl
import uuid
from pathlib import Path
from typing import IO


class DataDirBusyError(Exception):
    """Another process works in this data directory. Operator action: give every worker a directory of its own."""


class DataDir:
    """Holds the lock on a worker's directory until the process ends."""

    def __init__(self, path: Path, instance: str | None = None) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._lock = _lock(path / "lock")
        self.instance = instance or _stable_name(path / "instance")


def _lock(path: Path) -> IO[bytes]:
    handle = path.open("ab")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.close()
        raise DataDirBusyError(
            f"{path.parent} is in use by another worker: give each its own directory with --data-dir"
        ) from None
    return handle


def _stable_name(path: Path) -> str:
    if not path.exists():
        fresh = path.with_suffix(".new")
        fresh.write_text(f"meter-{uuid.uuid4().hex[:12]}")
        fresh.replace(path)
    return path.read_text().strip()
