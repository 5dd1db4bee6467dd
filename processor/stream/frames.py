"""Checksummed frames: how a checkpoint file tells what was written whole from what a crash or a bad disk left of it."""

import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct
from xxhash import xxh3_64_intdigest

FORMAT: Final = 1
"""Raised with every change of what checkpoint files mean; files of another format are not read."""

_HEADER: Final = struct.Struct("<IQ")
"""Length of the payload in bytes, xxh3-64 of the payload seeded with that length."""


class Stamp(Struct, frozen=True, kw_only=True):
    """Says what a checkpoint file is a copy of: positions mean something in one incarnation of one topic only."""

    cluster_id: str
    app_id: str
    topic: str
    topic_id: str
    partitions: int
    partition: int
    format: int = FORMAT

    def difference(self, other: "Stamp") -> str | None:
        """Names the first field in which `other` differs, with both values, or nothing."""
        if other.format > self.format:
            return f"a newer release wrote it (format {other.format}, this one reads {self.format})"
        for name in ("format", *(field for field in self.__struct_fields__ if field != "format")):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                return f"its {name} is {theirs}, expected is {mine}"
        return None


class Stamped(Struct):
    """As much of what carries a stamp as every format of it has."""

    stamp: Stamp


def frame(payload: bytes) -> bytes:
    """Wraps a payload of less than 4 GiB."""
    return _HEADER.pack(len(payload), xxh3_64_intdigest(payload, seed=len(payload))) + payload


def frames(content: memoryview) -> Iterator[tuple[memoryview, int]]:
    """Yields each payload with the position behind its frame; ends at the first frame that is not whole."""
    start, size = 0, len(content)
    while start + _HEADER.size <= size:
        length, checksum = _HEADER.unpack_from(content, start)
        end = start + _HEADER.size + length
        if end > size:
            return
        payload = content[start + _HEADER.size : end]
        if xxh3_64_intdigest(payload, seed=length) != checksum:
            return
        yield payload, end
        start = end


def replace(path: Path, chunks: Iterable[bytes]) -> None:
    """Gives the file a new content: after a crash at any point it has the old one or the new one, whole."""
    fresh = path.with_suffix(".new")
    with fresh.open("wb") as file:
        for chunk in chunks:
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Makes new names in a directory outlive a power cut."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
