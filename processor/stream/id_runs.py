"""Immutable files of sorted event identities, mapped into memory and searched a batch at a time.

A run of n identities is 16·n bytes: the first 8 bytes of every identity in ascending order, then the other 8 in that
order. Identities are hashes, so 8 bytes find the place and the other 8 prove the match. A filter of one or two bytes
per identity, in memory, answers most searches for what is not there: one look instead of a binary search.
"""

import mmap
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from xxhash import xxh3_64, xxh3_64_hexdigest

Words = NDArray[np.uint64]
Positions = NDArray[np.intp]

ID_BYTES: Final = 16
WORD: Final = np.dtype("<u8")
FILTER_BITS_PER_ID: Final = 8
"""At least; up to twice as many, as the size is a power of two. Every tenth search or fewer passes it."""
FILTERED_FROM: Final = 48
"""Batches of fewer identities are searched faster than filtered."""
SLICE: Final = 1 << 20
"""Identities that are merged at a time: bounds the memory of a merge to some 50 MB."""


class RunDamagedError(Exception):
    """A run's file is not what was written."""


class RunInfo(Struct, frozen=True):
    """What must be known of a run besides its file; `newest_ms` is when the youngest identity was applied."""

    name: str
    count: int
    newest_ms: int
    checksum: str


class IdRun:
    """One run; raises `RunDamagedError` when its file is not as written, `FileNotFoundError` without one."""

    def __init__(self, directory: Path, info: RunInfo) -> None:
        self.info = info
        self.path = directory / info.name
        with self.path.open("rb") as file:
            if os.fstat(file.fileno()).st_size != ID_BYTES * info.count:
                raise RunDamagedError(f"{self.path} has not the size of {info.count} identities")
            words: Words = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), WORD)
        self.highs, self.lows = words[: info.count], words[info.count :]
        if xxh3_64_hexdigest(self.highs.data) + xxh3_64_hexdigest(self.lows.data) != info.checksum:
            raise RunDamagedError(f"{self.path} has another checksum than when it was written")
        bits = (FILTER_BITS_PER_ID * info.count - 1).bit_length()
        self._shift = np.uint64(64 - bits)
        self._filter = self._make_filter(1 << bits)

    def __len__(self) -> int:
        return self.info.count

    @property
    def size_bytes(self) -> int:
        """What the run takes on the disk."""
        return ID_BYTES * self.info.count

    def find(self, highs: Words, lows: Words) -> Positions:
        """Returns the positions, in the given arrays, of the identities that this run holds."""
        wanted: Positions | slice = slice(None)
        positions: Positions = np.arange(len(highs))
        if len(highs) >= FILTERED_FROM:
            wanted = positions = self._passing(highs)
        highs, lows = highs[wanted], lows[wanted]
        places = self.highs.searchsorted(highs)
        near = np.flatnonzero(self.highs.take(places, mode="clip") == highs)
        if not len(near):
            return near
        held = [self._holds(int(places[at]), highs[at], lows[at]) for at in near]
        return positions[near[held]]

    def _holds(self, place: int, high: np.uint64, low: np.uint64) -> bool:
        """Looks at every identity with these first 8 bytes; there is hardly ever more than one."""
        while place < len(self.highs) and self.highs[place] == high:
            if self.lows[place] == low:
                return True
            place += 1
        return False

    def _passing(self, highs: Words) -> Positions:
        bits = highs >> self._shift
        octets = self._filter.take((bits >> np.uint64(3)).view(np.int64))
        return np.flatnonzero((octets >> (bits & np.uint64(7)).astype(np.uint8)) & 1)

    def _make_filter(self, size: int) -> NDArray[np.uint8]:
        made = np.zeros(max(size // 8, 1), np.uint8)
        for start in range(0, len(self.highs), SLICE):
            bits = self.highs[start : start + SLICE] >> self._shift
            octets = (bits >> np.uint64(3)).view(np.int64)
            first = np.flatnonzero(np.diff(octets, prepend=-1))  # ascending, so those of one octet are neighbours
            masks = np.uint8(1) << (bits & np.uint64(7)).astype(np.uint8)
            made[octets[first]] |= np.bitwise_or.reduceat(masks, first)
        return made


def columns(packed: bytes) -> tuple[Words, Words]:
    """Splits identities, one after the other, into their first and their last 8 bytes."""
    words = np.frombuffer(packed, WORD).reshape(-1, 2)
    return np.ascontiguousarray(words[:, 0]), np.ascontiguousarray(words[:, 1])


def write_run(directory: Path, name: str, packed: bytes, newest_ms: int) -> IdRun:
    """Sorts identities, at least one, into a new run."""
    highs, lows = columns(packed)
    order = np.argsort(highs)
    return _write(directory, name, len(highs), newest_ms, iter([(highs[order], lows[order])]))


def merge_runs(directory: Path, name: str, runs: Sequence[IdRun]) -> IdRun:
    """Writes the identities of several runs into a new one; the old files stay."""
    newest_ms = max(run.info.newest_ms for run in runs)
    return _write(directory, name, sum(map(len, runs)), newest_ms, _merged_slices(runs))


def _merged_slices(runs: Sequence[IdRun]) -> Iterator[tuple[Words, Words]]:
    """Merges range by range; identities are hashes, so equal ranges of values hold about equal numbers of them."""
    ranges = -(-sum(map(len, runs)) // SLICE)
    bounds = np.array([(at << 64) // ranges for at in range(1, ranges)], np.uint64)
    cuts = [[0, *run.highs.searchsorted(bounds).tolist(), len(run)] for run in runs]
    for at in range(ranges):
        highs = np.concatenate([run.highs[cut[at] : cut[at + 1]] for run, cut in zip(runs, cuts, strict=True)])
        lows = np.concatenate([run.lows[cut[at] : cut[at + 1]] for run, cut in zip(runs, cuts, strict=True)])
        order = np.argsort(highs, kind="stable")  # which merges what is sorted piece by piece
        yield highs[order], lows[order]


def _write(directory: Path, name: str, count: int, newest_ms: int, parts: Iterator[tuple[Words, Words]]) -> IdRun:
    sums, done = (xxh3_64(), xxh3_64()), 0
    with (directory / name).open("wb") as file:
        for part in parts:
            for column, (words, checksum) in enumerate(zip(part, sums, strict=True)):
                file.seek(WORD.itemsize * (column * count + done))
                file.write(words.data)
                checksum.update(words.data)
            done += len(part[0])
        file.flush()
        os.fsync(file.fileno())
    return IdRun(directory, RunInfo(name, count, newest_ms, sums[0].hexdigest() + sums[1].hexdigest()))
