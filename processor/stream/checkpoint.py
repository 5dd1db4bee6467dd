"""The local checkpoint of one partition: its tables and event ids, as of an offset of each of their changelogs.

It holds committed changes only, and may lag behind: the changelogs are its write-ahead log. The parts are independent
of each other, as recovery brings each to the end of its own changelog.
"""

from pathlib import Path
from time import monotonic
from typing import Final, NamedTuple

from rocksdict import Cache

from processor.contracts import topics
from processor.stream.frames import Stamp
from processor.stream.id_runs import ID_BYTES, IdRun
from processor.stream.sealed_ids import SealedIds
from processor.stream.stored_table import StoredTable
from processor.stream.table_store import Change, TableStore

SEALED_AT: Final = 32_768
"""Identities that are sealed at once: bounds the set of the newest ones, at 100 bytes each, to 3 MB per partition."""


SEALED_AT_IN_RECOVERY: Final = 1 << 19
"""Whole windows are read then: fewer and larger runs, and still no more than 8 MB of identities per partition."""


TABLES: Final = {topics.ACCOUNT_STATE: "accounts", topics.USER_POOLS: "users"}
"""Changelog -> name of its copy."""

CHANGELOGS: Final = (*TABLES, topics.EVENT_IDS)


class Changes(NamedTuple):
    """What was committed to the changelogs of one partition.

    By topic of a table: its new values, and the offset behind them. Of `event.ids.v1`: its values, the youngest of them
    applied at `at_ms` (UTC epoch milliseconds), and the offset behind them, None where there are none.
    """

    tables: dict[str, tuple[Change, int]]
    event_ids: list[bytes]
    event_ids_end: int | None
    at_ms: int


class Sealed(NamedTuple):
    """New runs, and the identities that are in a run now and were in none before."""

    runs: tuple[IdRun, ...]
    packed: bytes


class Loaded(NamedTuple):
    """Where to go on reading, and what of the checkpoint could not be used and why, by topic."""

    offsets: dict[str, int]
    problems: dict[str, str]


class PartitionCheckpoint:
    """The files of one partition in a directory of its own. Not thread-safe but for reading the tables."""

    def __init__(self, directory: Path, stamps: dict[str, Stamp], window_ms: int, cache: Cache) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.tables = {
            topic: StoredTable(TableStore(directory / name, stamps[topic], cache)) for topic, name in TABLES.items()
        }
        self._ids = SealedIds(directory, stamps[topics.EVENT_IDS], window_ms)
        self._unsealed: list[bytes] = []
        self._unsealed_bytes = 0
        self._unsealed_end = 0
        self._unsealed_ms = 0
        self._recovering = True
        self.waiting_since: float | None = None
        """When the oldest change arrived that is not on the disk yet (monotonic clock)."""

    def load(self, kept: dict[str, tuple[int, int]]) -> Loaded:
        """Opens the files; `kept` is, for each changelog, the first offset that is still there and its end.

        What is not ours or not whole, or stands where the changelog cannot go on from, is begun anew: its offset is 0.
        """
        parts: dict[str, TableStore | SealedIds] = {topic: table.store for topic, table in self.tables.items()}
        parts[topics.EVENT_IDS] = self._ids
        problems = {topic: part.load() for topic, part in parts.items()}
        for topic, part in parts.items():
            first, end = kept[topic]
            if part.next_offset and not first <= part.next_offset <= end:
                problems[topic] = f"it ends at offset {part.next_offset}, the topic has {first} to {end}"
                part.clear()
        offsets = {topic: part.next_offset for topic, part in parts.items()}
        return Loaded(offsets, {topic: problem for topic, problem in problems.items() if problem})

    def recovered(self) -> Sealed:
        """Ends recovery; returns all runs, and the identities that are too few for one yet."""
        for table in self.tables.values():
            table.recovered()
        self._recovering = False
        if self._unsealed_bytes >= ID_BYTES * SEALED_AT:
            self._seal()
        return Sealed(self._ids.runs, b"".join(self._unsealed))

    def add(self, changes: Changes) -> Sealed | None:
        """Takes committed changes in, and writes when there are enough of them."""
        if self.waiting_since is None:
            self.waiting_since = monotonic()
        for topic, (changed, end) in changes.tables.items():
            self.tables[topic].add(changed, end)
        if changes.event_ids_end is None:
            return None
        if self._recovering and self._unsealed and self._ids.tier(changes.at_ms) != self._ids.tier(self._unsealed_ms):
            self._seal()  # weeks are read in seconds: what is old must not grow old once more
        self._unsealed += changes.event_ids
        self._unsealed_bytes += sum(map(len, changes.event_ids))
        self._unsealed_end, self._unsealed_ms = changes.event_ids_end, changes.at_ms
        seal_at = SEALED_AT_IN_RECOVERY if self._recovering else SEALED_AT
        return self._seal() if self._unsealed_bytes >= ID_BYTES * seal_at else None

    @property
    def backlog(self) -> bool:
        """Whether there is so much to write that it should begin."""
        return any(table.backlog for table in self.tables.values())

    def write_some(self) -> None:
        """Writes some of the changes that have waited for longest."""
        for table in self.tables.values():
            if table.backlog:
                table.write_some()

    def flush(self) -> Sealed | None:
        """Brings everything that was added to the disk."""
        for table in self.tables.values():
            table.flush()
        sealed = self._seal() if self._unsealed else None
        self.waiting_since = None
        return sealed

    def close(self) -> None:
        """Flushes and closes the files."""
        self.flush()
        for table in self.tables.values():
            table.store.close()

    @property
    def size_bytes(self) -> int:
        """What the checkpoint takes on the disk."""
        return sum(table.store.size_bytes for table in self.tables.values()) + self._ids.size_bytes

    def _seal(self) -> Sealed:
        packed = b"".join(self._unsealed)
        self._ids.seal(packed, self._unsealed_ms, self._unsealed_end)
        self._unsealed, self._unsealed_bytes = [], 0
        return Sealed(self._ids.runs, packed)
