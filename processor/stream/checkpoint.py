"""The local checkpoint of one partition: its accounts and event ids, as of an offset of each of their changelogs.

It holds committed changes only, and may lag behind: the changelogs are its write-ahead log. The two parts are
independent of each other, as recovery brings each to the end of its own changelog.
"""

from itertools import islice
from pathlib import Path
from time import monotonic
from typing import Final, NamedTuple

from processor.contracts import topics
from processor.stream.frames import Stamp
from processor.stream.id_runs import ID_BYTES, IdRun
from processor.stream.sealed_ids import SealedIds
from processor.stream.table_log import Table, TableLog

CHANGES_AT_ONCE: Final = 10_000
"""Changed accounts that are written at once: bounds how long it holds the interpreter, to some 10 ms."""

SEALED_AT: Final = 32_768
"""Identities that are sealed at once: bounds the set of the newest ones, at 100 bytes each, to 3 MB per partition."""


SEALED_AT_IN_RECOVERY: Final = 1 << 19
"""Whole windows are read then: fewer and larger runs, and still no more than 8 MB of identities per partition."""


class Changes(NamedTuple):
    """What was committed to the changelogs of one partition: keys and values of `account.state.v1`, values of
    `event.ids.v1`, of which the youngest was applied at `at_ms` (UTC epoch milliseconds).

    The ends are the offsets behind it, `None` where there is nothing.
    """

    accounts: Table
    accounts_end: int | None
    event_ids: list[bytes]
    event_ids_end: int | None
    at_ms: int


class Sealed(NamedTuple):
    """New runs, and the identities that are in a run now and were in none before."""

    runs: tuple[IdRun, ...]
    packed: bytes


class Loaded(NamedTuple):
    """What a checkpoint holds, where to go on reading, and what of it could not be used and why, by topic."""

    accounts: Table
    event_ids: int
    offsets: dict[str, int]
    problems: dict[str, str]


class PartitionCheckpoint:
    """The files of one partition in a directory of its own. Not thread-safe."""

    def __init__(self, directory: Path, stamps: dict[str, Stamp], window_ms: int) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._accounts = TableLog(directory / "accounts", stamps[topics.ACCOUNT_STATE])
        self._ids = SealedIds(directory, stamps[topics.EVENT_IDS], window_ms)
        self._changed: Table = {}
        self._changed_end = 0
        self._unsealed: list[bytes] = []
        self._unsealed_bytes = 0
        self._unsealed_end = 0
        self._unsealed_ms = 0
        self._recovering = True
        self.waiting_since: float | None = None
        """When the oldest change arrived that is not on the disk yet (monotonic clock)."""

    def load(self, kept: dict[str, tuple[int, int]]) -> Loaded:
        """Reads the files; `kept` is, for each changelog, the first offset that is still there and its end.

        What is not ours, or stands where the changelog cannot go on from, is begun anew: its offset is 0. Accounts
        behind a damage are cut off.
        """
        accounts, problem = self._accounts.load()
        problems = {topics.ACCOUNT_STATE: problem, topics.EVENT_IDS: self._ids.load()}
        for topic, part in ((topics.ACCOUNT_STATE, self._accounts), (topics.EVENT_IDS, self._ids)):
            first, end = kept[topic]
            if part.next_offset and not first <= part.next_offset <= end:
                problems[topic] = f"it ends at offset {part.next_offset}, the topic has {first} to {end}"
                part.clear()
        if not self._accounts.next_offset:
            accounts = {}
        ids = sum(map(len, self._ids.runs))
        offsets = {topics.ACCOUNT_STATE: self._accounts.next_offset, topics.EVENT_IDS: self._ids.next_offset}
        return Loaded(accounts, ids, offsets, {topic: problem for topic, problem in problems.items() if problem})

    def recovered(self) -> Sealed:
        """Ends recovery; returns all runs, and the identities that are too few for one yet.

        The accounts that were read wait to be written, so that nobody waits for that.
        """
        self._recovering = False
        if self._unsealed_bytes >= ID_BYTES * SEALED_AT:
            self._seal()
        return Sealed(self._ids.runs, b"".join(self._unsealed))

    def add(self, changes: Changes) -> Sealed | None:
        """Takes committed changes in, and writes when there are enough of them."""
        if self.waiting_since is None:
            self.waiting_since = monotonic()
        if changes.accounts_end is not None:
            self._changed.update(changes.accounts)
            self._changed_end = changes.accounts_end
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
        """Whether there are enough changed accounts to be written."""
        return len(self._changed) >= CHANGES_AT_ONCE

    def write_some(self) -> None:
        """Writes some of the changed accounts, those that have waited for longest first."""
        some = dict(islice(self._changed.items(), CHANGES_AT_ONCE))
        for key in some:
            del self._changed[key]
        self._accounts.append(some, self._accounts.next_offset if self._changed else self._changed_end)

    def flush(self) -> Sealed | None:
        """Brings everything that was added to the disk."""
        while self._changed:
            self.write_some()
        self._accounts.sync()
        sealed = self._seal() if self._unsealed else None
        self.waiting_since = None
        return sealed

    def close(self) -> None:
        """Flushes and closes the files."""
        self.flush()
        self._accounts.close()

    @property
    def size_bytes(self) -> int:
        """What the checkpoint takes on the disk."""
        return self._accounts.size_bytes + self._ids.size_bytes

    def _seal(self) -> Sealed:
        packed = b"".join(self._unsealed)
        self._ids.seal(packed, self._unsealed_ms, self._unsealed_end)
        self._unsealed, self._unsealed_bytes = [], 0
        return Sealed(self._ids.runs, packed)
