"""The sealed part of a partition's de-duplication index: runs on disk, in age tiers that are dropped whole.

The changelog `event.ids.v1` is the write-ahead log. A small manifest names the runs and how much of the changelog they
reflect; it is replaced whole after the runs it names are on the disk, so a crash between any two writes leaves the
older manifest with its runs, and the rest is read from the changelog again.
"""

from itertools import groupby
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from processor.stream import frames
from processor.stream.frames import Stamp, Stamped
from processor.stream.id_runs import IdRun, RunDamagedError, RunInfo, merge_runs, write_run

TIERS: Final = 5
"""The window is cut into this many tiers: an identity is kept for up to a fifth longer, and fewer runs are searched."""

GROWTH: Final = 2
"""A run is merged with its predecessor in the tier unless that is more than so many times as large."""

NOTHING: Final = 0
"""Offset behind nothing: before the first record of a changelog."""


class Manifest(Struct):
    """What the runs are, oldest first, and the offset behind the last changelog record they reflect."""

    stamp: Stamp
    next_offset: int
    runs: list[RunInfo]
    written: int


class SealedIds:
    """The runs of one partition in one directory. Not thread-safe; a published tuple of runs never changes."""

    def __init__(self, directory: Path, stamp: Stamp, window_ms: int) -> None:
        self._directory = directory
        self._path = directory / "ids"
        self._stamp = stamp
        self._window_ms = window_ms
        self._tier_ms = max(window_ms // TIERS, 1)
        self._written = 0
        self.runs: tuple[IdRun, ...] = ()
        self.next_offset = NOTHING

    def load(self) -> str | None:
        """Opens and verifies the runs; where that fails everything is cleared, and the reason is returned."""
        problem = self._load() if self._path.exists() else None
        if problem or not self._path.exists():
            self.clear()
        return problem

    def clear(self) -> None:
        """Forgets everything, on the disk too."""
        self.runs, self.next_offset = (), NOTHING
        self._path.unlink(missing_ok=True)
        self._delete_unnamed()

    def seal(self, packed: bytes, newest_ms: int, next_offset: int) -> None:
        """Adds committed identities, the youngest applied at `newest_ms`, and drops the tiers that are too old.

        `next_offset` is the one behind the changelog record of the last of them.
        """
        newest_ms = max([newest_ms, *(run.info.newest_ms for run in self.runs)])
        kept = [run for run in self.runs if run.info.newest_ms >= newest_ms - self._window_ms]
        kept.append(write_run(self._directory, self._next_name(), packed, newest_ms))
        tiers = [list(tier) for _, tier in groupby(kept, lambda run: self.tier(run.info.newest_ms))]
        merged = [self._merged(tier) for tier in tiers[:-1]]
        newest = tiers[-1]
        start, total = len(newest) - 1, len(newest[-1])
        while start and len(newest[start - 1]) <= GROWTH * total:
            start -= 1
            total += len(newest[start])
        self.runs = (*merged, *newest[:start], self._merged(newest[start:]))
        self.next_offset = next_offset
        manifest = Manifest(self._stamp, next_offset, [run.info for run in self.runs], self._written)
        frames.replace(self._path, [frames.frame(msgspec.msgpack.encode(manifest))])
        self._delete_unnamed()

    def tier(self, at_ms: int) -> int:
        """Numbers the tiers of time; runs of one tier become one run."""
        return at_ms // self._tier_ms

    @property
    def size_bytes(self) -> int:
        """What the runs take on the disk."""
        return sum(run.size_bytes for run in self.runs)

    def _load(self) -> str | None:
        whole = next(frames.frames(memoryview(self._path.read_bytes())), None)
        if whole is None:
            return "its manifest is damaged"
        try:
            stamp = msgspec.msgpack.decode(whole[0], type=Stamped).stamp
            if difference := self._stamp.difference(stamp):
                return difference
            manifest = msgspec.msgpack.decode(whole[0], type=Manifest)
            runs = tuple(IdRun(self._directory, info) for info in manifest.runs)
        except msgspec.DecodeError:
            return "its manifest is of another format"
        except (RunDamagedError, FileNotFoundError) as damage:
            return str(damage)
        self.runs, self.next_offset, self._written = runs, manifest.next_offset, manifest.written
        self._delete_unnamed()  # what a crash left before a manifest named it
        return None

    def _merged(self, runs: list[IdRun]) -> IdRun:
        return runs[0] if len(runs) == 1 else merge_runs(self._directory, self._next_name(), runs)

    def _next_name(self) -> str:
        self._written += 1
        return f"ids.{self._written}.run"

    def _delete_unnamed(self) -> None:
        named = {run.path.name for run in self.runs}
        for path in self._directory.glob("ids.*.run"):
            if path.name not in named:
                path.unlink()
