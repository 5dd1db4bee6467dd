"""When the accounts of one partition next need the clock: a heap, filled by changes and by surveys."""

from datetime import datetime
from heapq import heapify, heappop, heappush
from typing import Final

STALE_MAX: Final = 1000
"""Timers that were moved or cleared may stay in the heap until they outnumber the others by this."""


class Timers:
    """One timer per tenant at most. A moved one is left where it is and ignored when its old time comes."""

    def __init__(self) -> None:
        self._heap: list[tuple[datetime, str]] = []
        self._armed: dict[str, datetime] = {}
        self.horizon: datetime | None = None
        """Later times are not kept: they are found in time by the next survey of the accounts."""

    def __len__(self) -> int:
        return len(self._armed)

    def arm(self, tenant_id: str, due: datetime | None) -> None:
        """Sets or moves the timer of a tenant; None clears it."""
        if due is None or (self.horizon is not None and due > self.horizon):
            self._armed.pop(tenant_id, None)
        elif self._armed.get(tenant_id) != due:
            self._armed[tenant_id] = due
            heappush(self._heap, (due, tenant_id))
            if len(self._heap) > 2 * len(self._armed) + STALE_MAX:
                self._heap = [(at, tenant) for tenant, at in self._armed.items()]
                heapify(self._heap)

    def next(self) -> datetime | None:
        """Returns the earliest time that is armed."""
        heap = self._heap
        while heap and self._armed.get(heap[0][1]) != heap[0][0]:
            heappop(heap)
        return heap[0][0] if heap else None

    def take(self, now: datetime, limit: int) -> list[str]:
        """Disarms the timers that are due by `now`, the earliest first and at most so many; returns their tenants."""
        tenants: list[str] = []
        while len(tenants) < limit and (due := self.next()) is not None and due <= now:
            _, tenant = heappop(self._heap)
            del self._armed[tenant]
            tenants.append(tenant)
        return tenants
