"""Counts invariant violations over restarts: the process that finds one ends before Prometheus could ask it."""

from pathlib import Path


class Violations:
    """How often a worker has stopped itself over its books, kept in its data directory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.count = int(path.read_text()) if path.exists() else 0

    def add(self) -> None:
        """Counts one more, for the next process to tell."""
        self.count += 1
        fresh = self._path.with_suffix(".new")
        fresh.write_text(str(self.count))
        fresh.replace(self._path)
