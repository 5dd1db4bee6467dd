"""Counts over restarts why a worker has stopped itself: the process that does ends before Prometheus could ask it."""

import contextlib
import json
from collections import Counter
from pathlib import Path

from processor.stream.faults import Cause


class Stops:
    """How often the worker of a data directory has stopped itself, by cause; kept in a file there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.counts: Counter[Cause] = Counter(json.loads(path.read_text()) if path.exists() else {})

    def add(self, cause: Cause) -> None:
        """Counts one more, for the next process to tell; nothing is counted where the disk itself is the cause."""
        self.counts[cause] += 1
        fresh = self._path.with_suffix(".new")
        with contextlib.suppress(OSError):
            fresh.write_text(json.dumps(self.counts))
            fresh.replace(self._path)
