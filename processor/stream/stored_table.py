"""One table of a partition's checkpoint, with the committed changes that are not on the disk yet."""

from itertools import islice
from typing import Final

from processor.stream.table_store import Change, TableStore

CHANGES_AT_ONCE: Final = 500
"""Changes that are written at once: RocksDB holds the interpreter for as long, some 2 ms."""

BACKLOG: Final = 10_000
"""Changes that are enough to begin with writing before the interval is over."""


class StoredTable:
    """Writes changes in the order of the changelog, some at a time; a key that changes again meanwhile is written once.

    The owner of the table reads it (`written`, `get`, `after`); everything else belongs to the thread that writes.
    """

    def __init__(self, store: TableStore) -> None:
        self.store = store
        self.written = 0
        """How many of the changes added since `recovered` are in the store."""
        self._added = 0
        self._waiting: dict[bytes, bytes | None] = {}
        self._waiting_end = 0
        self._writing: dict[bytes, bytes | None] = {}
        self._writing_end = 0
        self._writing_added = 0
        self._recovering = True

    def get(self, key: bytes) -> bytes | None:
        """Returns the newest value that was written."""
        return self.store.get(key)

    def after(self, key: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Returns so many keys behind `key` at most, in order, with their values."""
        return self.store.after(key, limit)

    def add(self, changes: Change, end: int) -> None:
        """Takes in what was committed to the changelog before the offset `end`."""
        self._waiting.update(changes)
        self._waiting_end = end
        self._added += 1

    @property
    def backlog(self) -> bool:
        """Whether there is so much to write that it should begin."""
        return bool(self._writing) or len(self._waiting) >= BACKLOG

    @property
    def pending(self) -> bool:
        """Whether anything is not in the store yet."""
        return bool(self._writing or self._waiting)

    def write_some(self) -> None:
        """Writes some of what has waited for longest."""
        if not self._writing:
            self._writing, self._waiting = self._waiting, {}
            self._writing_end, self._writing_added = self._waiting_end, self._added
        some = dict(islice(self._writing.items(), CHANGES_AT_ONCE))
        for key in some:
            del self._writing[key]
        offset = self.store.next_offset if self._writing else self._writing_end
        self.store.write(some, offset, logged=not self._recovering)  # the changelog is the log meanwhile
        if not self._writing:
            self.written = self._writing_added

    def flush(self) -> None:
        """Brings everything that was added to the disk."""
        while self.pending:
            self.write_some()
        self.store.sync()

    def recovered(self) -> None:
        """Ends recovery: all of it is in the store, and cycles are counted from here on."""
        self.flush()
        self._added = self.written = 0
        self._recovering = False
