"""A local copy of one partition of a compacted changelog: the newest value of every key, in RocksDB.

Every batch of changes is written in one piece with the offset behind what the copy reflects with it. So whatever a
crash or a power cut leaves of the database is a copy as of some offset, and recovery reads the rest from the changelog.
Keys and values are opaque bytes.
"""

import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Protocol

import msgspec
from msgspec import Struct
from rocksdict import BlockBasedOptions, Cache, DBCompressionType, Options, Rdict, WriteBatch, WriteOptions

from processor.stream.frames import Stamp, Stamped

Change = Mapping[bytes, bytes | None]
"""New values by key; None where the key is gone."""

_META: Final = b""
"""Where the copy says what it is a copy of: no key of a changelog is empty."""

_DAMAGED: Final = "damaged"
"""A file of this name condemns the copy: what was read of it once was wrong."""

_CORRUPTION: Final = "Corruption"
"""What RocksDB calls it when a block is not what was written."""

_FULL: Final = os.strerror(errno.ENOSPC)

CACHE_BYTES: Final = 64 << 20
"""Blocks that are kept uncompressed in memory, for all partitions of a process together."""

WRITE_BUFFER_BYTES: Final = 4 << 20
LOG_FILES: Final = 2


class TableDamagedError(Exception):
    """The copy was damaged while it was in use. Operator action: none, the next start reads it anew; check the disk."""


class Stored(Protocol):
    """The values of one partition that are kept outside of the memory."""

    @property
    def written(self) -> int:
        """How many of the cycles that changed the table since it was opened are in here."""

    def get(self, key: bytes) -> bytes | None:
        """Returns the newest value that was written."""

    def after(self, key: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Returns so many keys behind `key` at most, in order, with their values."""


class _Meta(Struct):
    stamp: Stamp
    next_offset: int


_encode = msgspec.msgpack.Encoder().encode


def _without_log() -> WriteOptions:
    options = WriteOptions()
    options.disable_wal = True  # type: ignore[method-assign, assignment]  # a property, whatever the stub says
    return options


class TableStore:
    """The database of one changelog partition; `next_offset` is where reading the changelog goes on.

    One thread writes, any may read. Every beginning has a directory of its own beside `path`, with a number: a database
    that could not be opened may still be locked.
    """

    def __init__(self, path: Path, stamp: Stamp, cache: Cache) -> None:
        self._path = path
        self._directory = path
        self._number = 0
        self._stamp = stamp
        self._cache = cache
        self._opened: Rdict | None = None
        self._unlogged = False
        self.next_offset = 0

    def load(self) -> str | None:
        """Opens the copy; where it is not ours or not whole it is begun anew, and the reason is returned."""
        numbers = [
            int(number) for at in self._path.parent.glob(f"{self._path.name}.*") if (number := at.suffix[1:]).isdigit()
        ]
        self._number = max(numbers, default=0)
        self._directory = self._path.with_suffix(f".{self._number}")
        problem = self._load() if numbers else None
        if self._path.exists():
            problem = "it is of another format"
        if problem or not numbers:
            self.clear()
        return problem

    def get(self, key: bytes) -> bytes | None:
        """Returns the newest value of a key."""
        with self._trusted():
            value: bytes | None = self._db.get(key)
        return value

    def after(self, key: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Returns so many keys behind `key` at most, in order, with their values."""
        found: list[tuple[bytes, bytes]] = []
        with self._trusted():
            at = self._db.iter()
            at.seek(key)
            if at.valid() and at.key() == key:
                at.next()
            while at.valid() and len(found) < limit:
                found.append((at.key(), at.value()))
                at.next()
            at.status()  # raises where a damage has ended it
        return found

    def write(self, changes: Change, next_offset: int, *, logged: bool = True) -> None:
        """Writes changes; a power cut loses none of them after `sync`.

        `next_offset` is the one behind all changes that are in the copy now: as long as some are still to come, the
        older one. Values that are newer than the offset do no harm, as recovery reads them again. What is not `logged`
        costs less, and is lost when the process dies before `sync`: the copy is then as of an earlier offset.
        """
        if logged and self._unlogged:
            self.sync()  # nothing may outlive what came before it
        batch = WriteBatch(raw_mode=True)
        for key, value in changes.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        batch.put(_META, _encode(_Meta(self._stamp, next_offset)))
        with self._trusted(_CORRUPTION):  # RocksDB reorders its files meanwhile
            self._db.write(batch, None if logged else _without_log())
        self._unlogged = not logged
        self.next_offset = next_offset

    def sync(self) -> None:
        """Makes what was written outlive a power cut."""
        with self._trusted(_CORRUPTION):
            if self._unlogged:
                self._db.flush()
            else:
                self._db.flush_wal(True)
        self._unlogged = False

    def clear(self) -> None:
        """Begins anew."""
        with suppress(TableDamagedError):
            self.close()
        self._path.unlink(missing_ok=True)
        for directory in self._path.parent.glob(f"{self._path.name}.*"):
            shutil.rmtree(directory)
        self._number += 1
        self._directory = self._path.with_suffix(f".{self._number}")
        self._directory.mkdir()
        with self._trusted(_CORRUPTION):
            self._opened = Rdict(str(self._directory), self._options())
        self.write({}, 0)

    def close(self) -> None:
        """Closes the database."""
        if self._opened is not None:
            closing, self._opened = self._opened, None
            with self._trusted(_CORRUPTION):
                closing.close()

    @property
    def size_bytes(self) -> int:
        """What the copy takes on the disk."""
        return sum(path.stat().st_size for path in self._directory.iterdir() if path.is_file())

    @property
    def _db(self) -> Rdict:
        if self._opened is None:
            raise ValueError(f"{self._directory} is not open")
        return self._opened

    def _load(self) -> str | None:
        if (self._directory / _DAMAGED).exists():
            return "it was found damaged"
        try:
            self._opened = Rdict(str(self._directory), self._options())
            meta = self._opened.get(_META)
        except Exception as error:
            if _FULL in str(error):
                raise OSError(errno.ENOSPC, str(error)) from error
            return f"it cannot be opened: {error}"
        if meta is None:
            return "its beginning is damaged"
        try:
            if difference := self._stamp.difference(msgspec.msgpack.decode(meta, type=Stamped).stamp):
                return difference
            self.next_offset = msgspec.msgpack.decode(meta, type=_Meta).next_offset
        except msgspec.DecodeError:
            return "it is of another format"
        return None

    @contextmanager
    def _trusted(self, condemning: str = "") -> Iterator[None]:
        """Condemns the copy when it cannot be read: a restart must not find it again.

        Only errors that say `condemning` do, and never a full disk.
        """
        try:
            yield
        except Exception as error:
            if _FULL in str(error):
                raise OSError(errno.ENOSPC, str(error)) from error
            if condemning not in str(error):
                raise
            (self._directory / _DAMAGED).touch()
            raise TableDamagedError(f"{self._directory} cannot be read: {error}") from error

    def _options(self) -> Options:
        blocks = BlockBasedOptions()
        blocks.set_bloom_filter(10, False)
        blocks.set_block_cache(self._cache)
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_block_based_table_factory(blocks)
        options.set_compression_type(DBCompressionType.lz4())
        options.set_write_buffer_size(WRITE_BUFFER_BYTES)
        options.set_keep_log_file_num(LOG_FILES)
        return options
