"""What of a table is in memory: everything that was used lately, and everything that is not on the disk yet."""

from typing import Generic, TypeVar

from processor.stream.table_store import Stored

Key = TypeVar("Key")
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """Values in two generations; the older one is dropped when the younger one is full and the disk has it.

    `keep` is how many values may be in a generation before it is closed.
    """

    def __init__(self, keep: int) -> None:
        self.young: dict[Key, Value] = {}
        self._old: dict[Key, Value] = {}
        self._old_cycles = 0
        self._cycles = 0
        self._keep = keep

    def __len__(self) -> int:
        return len(self.young) + len(self._old)

    def get(self, key: Key) -> Value | None:
        """Returns a value that is in memory and counts that as a use of it."""
        value = self.young.get(key)
        if value is None and (value := self._old.pop(key, None)) is not None:
            self.young[key] = value
        return value

    def peek(self, key: Key) -> Value | None:
        """Returns a value that is in memory."""
        return self.young.get(key) or self._old.get(key)

    def age(self, stored: Stored | None, *, changed: bool) -> None:
        """Ends a cycle, which may have changed values; closes the younger generation if it is full.

        That drops the older one, so it waits until the disk has all that its cycles changed.
        """
        self._cycles += changed
        if stored is not None and len(self.young) >= self._keep and stored.written >= self._old_cycles:
            self._old, self.young, self._old_cycles = self.young, {}, self._cycles
