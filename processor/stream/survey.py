"""Looks at every stored account of a partition once, a few at a time beside the work: what is adopted need not wait.

A survey finds what only the accounts themselves say: which of them need the clock before the horizon, and how they
stand. It runs after every adoption, and once a day for the timers that come over the horizon. It also reads every block
of the local copy, so damage to the disk is found within a day.
"""

import asyncio
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import Final

from processor.contracts import outputs
from processor.domain.timers import next_due
from processor.stream.partition import PartitionProcessor
from processor.stream.table_store import Stored

HORIZON: Final = timedelta(days=2)
"""How far ahead timers are kept in memory: most accounts need the clock in eleven months, when a lot expires."""

EVERY: Final = timedelta(days=1)
"""How often the accounts are looked at; every timer within the horizon is then known well before its time."""

SLICE: Final = 100
"""Accounts between two breaths of the event loop, a millisecond."""

REST_S: Final = 0.002
"""A rest between slices: a survey takes a third of the loop's time at most."""

LOOK_S: Final = 0.2


class Survey:
    """One walk over the stored accounts of a partition, in the order of their keys.

    From now on no timer later than the horizon is kept, if there is one.
    """

    def __init__(self, processor: PartitionProcessor, stored: Stored, horizon: datetime | None) -> None:
        self._processor = processor
        self._stored = stored
        self._at = b""
        self._found = 0
        processor.timers.horizon = horizon

    def step(self) -> bool:
        """Looks at the next few accounts; False when there are no more."""
        table, timers, standings = self._processor.table, self._processor.timers, self._processor.standings
        policy = self._processor.tariff.policy
        some = self._stored.after(self._at, SLICE)
        for key, value in some:
            tenant = key.decode()
            account = table.recent.peek(tenant) or outputs.glimpse(value)  # what is not in memory is up to date on disk
            standings.note(account)
            timers.arm(tenant, next_due(account, policy))
            self._found += not table.is_new(tenant)
        if len(some) == SLICE:
            self._at = some[-1][0]
            return True
        table.counted(self._found)
        return False


class Surveyor:
    """Surveys the partitions of a worker, one after the other, on its loop."""

    def __init__(self, owned: Callable[[], Collection[PartitionProcessor]]) -> None:
        self._owned = owned
        self._due: dict[PartitionProcessor, datetime] = {}

    async def run(self) -> None:
        """Surveys what was adopted, and everything once a day."""
        while True:
            owned, now = list(self._owned()), datetime.now(UTC)
            self._due = {processor: self._due.get(processor, now) for processor in owned}
            for processor in owned:
                if self._due[processor] <= now:
                    await self._survey(processor)
                    self._due[processor] = now + EVERY
            await asyncio.sleep(LOOK_S)

    async def _survey(self, processor: PartitionProcessor) -> None:
        if processor.table.stored is None:
            return
        survey = Survey(processor, processor.table.stored, datetime.now(UTC) + HORIZON)
        more = True
        while more:
            await asyncio.sleep(REST_S)
            more = processor in self._owned() and survey.step()
