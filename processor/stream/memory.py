"""What a partition knows of its tenants beside their accounts: earlier charges, and users with minutes of their own."""

from collections.abc import Callable

from processor.contracts.inputs import identity
from processor.domain.corrections import Allocation, latest
from processor.domain.pools import PoolUse
from processor.stream.originals import allocation_of
from processor.stream.user_pools import UserPoolTable

FindCharge = Callable[[int, str, str], Allocation | None]
"""Partition, source and event id to the allocation of a committed charge."""


class PartitionMemory:
    """Looks for a charge in the cycle under way, then in the one that is being committed, then in the ledger."""

    def __init__(self, number: int, find_committed: FindCharge) -> None:
        self.users = UserPoolTable()
        self._number = number
        self._find_committed = find_committed
        self._present: dict[bytes, bytes] = {}
        self._before: dict[bytes, bytes] = {}

    def begin(self, charges: dict[bytes, bytes]) -> None:
        """Takes the charges of the cycle that begins or goes on; by the one after the next they are committed."""
        if charges is not self._present:
            self._before, self._present = self._present, charges

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
        return self._find_committed(self._number, source, event_id)
