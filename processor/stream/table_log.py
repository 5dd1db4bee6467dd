"""A local copy of one partition of a compacted changelog: the newest value of every key, in an append-only file.

The file begins with its stamp. Every further frame is a batch of changes with the offset behind the last changelog
record that it and the frames before it reflect. So whatever a crash or a bad disk did to the file, what stands before
the damage is a copy as of its last offset, and recovery reads the rest from the changelog. Values are opaque bytes.
"""

import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from processor.stream import frames
from processor.stream.frames import Stamp, frame

GARBAGE_FACTOR: Final = 2
GARBAGE_FREE_BYTES: Final = 32 << 20
"""The file is written anew when it has more than so many times its live content and so many bytes besides."""

Table = dict[bytes, bytes]
Frame = tuple[int, Table]

_encode = msgspec.msgpack.Encoder().encode
_decode_frame = msgspec.msgpack.Decoder(Frame).decode
_decode_stamp = msgspec.msgpack.Decoder(Stamp).decode


class TableLogDamagedError(Exception):
    """The file was damaged while it was in use. Operator action: none, the next start cuts it; look after the disk."""


class TableLog:
    """The file of one changelog partition; `next_offset` is where reading the changelog goes on. Not thread-safe."""

    def __init__(self, path: Path, stamp: Stamp) -> None:
        self._path = path
        self._stamp = stamp
        self._file: BinaryIO | None = None
        self._live_bytes = 0
        self.size_bytes = 0
        self.next_offset = 0

    def load(self) -> tuple[Table, str | None]:
        """Returns the newest values, and what is wrong with the file unless it is all there.

        A file that is not ours or has no whole beginning is begun anew; a damaged one is cut before the damage.
        """
        table: Table = {}
        size = self._path.stat().st_size if self._path.exists() else 0
        problem = "it is empty" if self._path.exists() and not size else None
        try:
            end = self._read(table) if size else 0
        except _UnusableError as unusable:
            end, problem = 0, str(unusable)
        if not end:  # a new one, or one that cannot be used
            self.clear()
            return {}, problem
        if end < size:
            problem = f"it is damaged after {end} of {size} bytes"
            os.truncate(self._path, end)
        self._live_bytes = sum(map(len, table)) + sum(map(len, table.values()))
        self._open()
        self.sync()
        return table, problem

    def append(self, changes: Table, next_offset: int) -> None:
        """Adds changes; they are on the disk after `sync`.

        `next_offset` is the one behind all changes that are in the file now: as long as some are still to come, the
        older one. Values that are newer than the offset do no harm, as recovery reads them again.
        """
        self._write(frame(_encode((next_offset, changes))))
        self.next_offset = next_offset
        if self.size_bytes > GARBAGE_FACTOR * self._live_bytes + GARBAGE_FREE_BYTES:
            self._rewrite()

    def sync(self) -> None:
        """Makes what was appended outlive a power cut."""
        os.fdatasync(self._opened.fileno())

    def clear(self) -> None:
        """Begins the file anew."""
        self.close()
        frames.replace(self._path, [frame(_encode(self._stamp))])
        self.next_offset = self._live_bytes = 0
        self._open()

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    @property
    def _opened(self) -> BinaryIO:
        if self._file is None:
            raise ValueError(f"{self._path} is not open")
        return self._file

    def _open(self) -> None:
        self._file = self._path.open("ab")
        self.size_bytes = self._file.tell()

    def _write(self, content: bytes) -> None:
        self._opened.write(content)
        self._opened.flush()
        self.size_bytes += len(content)

    def _read(self, table: Table) -> int:
        """Fills the table; returns the length of what is whole."""
        end = 0
        for (next_offset, changes), position in self._frames():
            table.update(changes)
            self.next_offset, end = next_offset, position
        return end

    def _frames(self) -> Iterator[tuple[Frame, int]]:
        """Yields the offset and changes of each whole frame, with the position behind it; the stamp's has neither."""
        with self._path.open("rb") as file:
            whole = frames.frames(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))
        first = next(whole, None)
        if first is None:
            raise _UnusableError("its beginning is damaged")
        payload, end = first
        try:
            difference = self._stamp.difference(_decode_stamp(payload))
            if difference:
                raise _UnusableError(difference)
            yield (0, {}), end
            for payload, end in whole:
                yield _decode_frame(payload), end
        except msgspec.DecodeError:
            raise _UnusableError("it is of another format") from None

    def _all_frames(self) -> Iterator[tuple[Frame, int]]:
        """Yields what was written by now; raises `TableLogDamagedError` where that is not what is read."""
        end = 0
        for batch, end in self._frames():
            yield batch, end
        if end != self.size_bytes:
            raise TableLogDamagedError(f"{self._path} is damaged after {end} of {self.size_bytes} bytes")

    def _rewrite(self) -> None:
        """Drops the values that a later frame replaces. The frames keep their order and offsets, so the rule holds."""
        last: dict[bytes, int] = {}
        for number, ((_, changes), _) in enumerate(self._all_frames()):
            last.update(dict.fromkeys(changes, number))
        frames.replace(self._path, self._live_frames(last))
        self.close()
        self._open()
        self._live_bytes = self.size_bytes

    def _live_frames(self, last: dict[bytes, int]) -> Iterator[bytes]:
        yield frame(_encode(self._stamp))
        for number, ((next_offset, changes), _) in enumerate(self._all_frames()):
            live = {key: value for key, value in changes.items() if last[key] == number}
            if live:
                yield frame(_encode((next_offset, live)))


class _UnusableError(Exception):
    """The file cannot be used at all; the text says why."""
