"""What a partition knows of its tenants beside their accounts: earlier charges, and users with minutes of their own."""

from typing import Protocol

from processor.contracts.inputs import identity
from processor.domain.corrections import Allocation, latest
from processor.domain.pools import PoolUse
from processor.stream.originals import allocation_of
from processor.stream.user_pools import UserPoolTable


class CommittedCharges(Protocol):
    """Where the charges of earlier cycles are found."""

    def catch_up(self, number: int) -> None:
        """Takes in all that is committed in a partition."""

    def find(self, source: str, event_id: str) -> Allocation | None:
        """Finds the allocation of an event that was charged before."""


class NoCharges:
    """For partitions that never get corrections."""

    def catch_up(self, number: int) -> None:
        """Has nothing to read."""

    def find(self, source: str, event_id: str) -> Allocation | None:
        """Knows no charge."""
        del source, event_id
        return None


class PartitionMemory:
    """Looks for a charge in the cycle under way, then in the one that is being committed, then in the ledger."""

    def __init__(self, number: int, committed: CommittedCharges, keep: int) -> None:
        self.users = UserPoolTable(keep)
        self._number = number
        self._committed = committed
        self._caught_up = False
        self._present: dict[bytes, bytes] = {}
        self._before: dict[bytes, bytes] = {}

    def begin(self, charges: dict[bytes, bytes]) -> None:
        """Takes the charges of the cycle that begins or goes on; by the one after the next they are committed."""
        if charges is not self._present:
            self._before, self._present = self._present, charges
            self._caught_up = False

    def original(self, source: str, event_id: str) -> Allocation | None:
        """Finds the latest version of a usage event by its own id or by that of one of its corrections."""
        return latest(self._find, source, event_id)

    def own_pools(self, tenant_id: str, user_id: str) -> list[PoolUse]:
        """Returns the counters of a user who shares no pool; changes to the list are kept."""
        return self.users.get(tenant_id, user_id)

    def _find(self, source: str, event_id: str) -> Allocation | None:
        key = identity(source, event_id)
        record = self._present.get(key) or self._before.get(key)
        if record is not None:
            return allocation_of(record)
        if not self._caught_up:  # nothing of this partition is committed while a cycle is applied but the one before
            self._committed.catch_up(self._number)
            self._caught_up = True
        return self._committed.find(source, event_id)
