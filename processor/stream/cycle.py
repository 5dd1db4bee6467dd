"""The commit cycle, steps B1 to B7 of docs/explanation/exactly-once.md, and the hand-over of partitions.

Everything here runs on the event loop's thread; only `Transactions.commit` runs beside it, one at a time.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from time import monotonic, perf_counter
from typing import Final, Protocol

import structlog
from confluent_kafka import Message as Record

from processor.domain.errors import InvariantViolated
from processor.domain.tariff import Tariff
from processor.stream import allocator, failpoints
from processor.stream.batches import Batch, runs, without
from processor.stream.checkpoint_writer import CheckpointWriter
from processor.stream.partition import PartitionProcessor
from processor.stream.transaction import Transactions
from processor.stream.work import Work

log = structlog.get_logger()

BATCHES_WAITING_MAX: Final = 4
"""Fetched batches that may wait: enough to keep the loop busy, few enough to bound memory."""

TIMERS_MAX: Final = 1000
"""Timers per transaction: at the end of a month many are due at once, and usage must not wait for all of them."""

TIMERS_REST: Final = timedelta(seconds=3)
"""How long timers wait after an assignment, so that results which arrived while nobody worked are read first."""


class Observer(Protocol):
    """What the cycle tells the metrics."""

    def committed(self, work: Work, commit_s: float) -> None:
        """One cycle was committed."""

    def assigned(self, processors: Iterable[PartitionProcessor]) -> None:
        """The set of owned partitions changed."""

    def recovered_partitions(self, records: int, duration_s: float) -> None:
        """Partitions were rebuilt."""

    def ticked(self) -> None:
        """The loop is alive."""

    def invariant_violated(self) -> None:
        """The books did not agree; the process is about to exit."""


class Cycle:
    """Owns the partition processors and turns queued batches into transactions."""

    def __init__(
        self,
        transactions: Transactions,
        tariff: Tariff,
        new_processor: Callable[[int, Tariff], PartitionProcessor],
        recover: Callable[[list[PartitionProcessor]], int],
        checkpoints: CheckpointWriter,
        observer: Observer,
        *,
        batch_max_events: int,
        linger_s: float,
        on_death: Callable[[BaseException], None],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        commit_within_s: float = 600.0,
    ) -> None:
        self.processors: dict[int, PartitionProcessor] = {}
        self.group_metadata: Callable[[], object] = lambda: None
        self._transactions = transactions
        self._tariff = tariff
        self._new_processor = new_processor
        self._recover = recover
        self._checkpoints = checkpoints
        self._observer = observer
        self._batch_max_events = batch_max_events
        self._linger_s = linger_s
        self._on_death = on_death
        self._clock = clock
        self._commit_within_s = commit_within_s
        self._positions: dict[tuple[str, int], int] = {}
        """The position behind the last record that was applied, by topic and partition."""
        self._timers_from = clock()
        self._queue: deque[Batch] = deque()
        self._next_sequence = 0
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._arrival = asyncio.Event()
        self._lock = asyncio.Lock()
        self._commit: asyncio.Future[None] | None = None
        self.committing_since: float | None = None
        """Monotonic time at which the running commit began."""
        self._committer = ThreadPoolExecutor(1, "commit")
        self._recoverer = ThreadPoolExecutor(1, "recover")
        self._loop_task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """W1, then waits for batches."""
        loop = asyncio.get_running_loop()
        self._checkpoints.start(loop.call_soon_threadsafe)
        await loop.run_in_executor(self._committer, self._transactions.open)
        self._loop_task = asyncio.create_task(self._run(), name="cycle")
        self._loop_task.add_done_callback(self._loop_ended)

    def offer(self, batch: Batch) -> None:
        """Queues one fetched batch.

        Batches are numbered; one that is missing was dropped on its way here and would be usage that is never charged.
        """
        if batch.sequence != self._next_sequence:
            raise InvariantViolated(f"batch {self._next_sequence} never arrived, {batch.sequence} did")
        self._next_sequence += 1
        self._queue.append(batch)
        self._wake.set()
        self._arrival.set()
        if len(self._queue) >= BATCHES_WAITING_MAX:
            self._room.clear()

    def use(self, tariff: Tariff) -> None:
        """Prices with `tariff` from the next cycle on: no cycle is applied while this runs on the loop's thread."""
        self._tariff = tariff
        for processor in self.processors.values():
            processor.tariff = tariff

    async def has_room(self) -> None:
        """Waits until another batch may be fetched."""
        await self._room.wait()

    async def arrived(self, sequence: int) -> None:
        """Waits until a delivered batch is queued here: at a rebalance none may be under way inside Faust."""
        while self._next_sequence <= sequence:
            self._arrival.clear()
            await self._arrival.wait()

    async def adopt(self, numbers: set[int], positions: dict[tuple[str, int], int]) -> None:
        """A2: rebuilds newly assigned partitions; nothing of them has been fetched yet."""
        started = perf_counter()
        fresh = [self._new_processor(number, self._tariff) for number in sorted(numbers)]
        records = await asyncio.get_running_loop().run_in_executor(self._recoverer, self._recover, fresh)
        async with self._lock:
            for processor in fresh:
                if processor.number in self.processors:
                    raise InvariantViolated(f"partition {processor.number} is adopted while it is owned")
                processor.tariff = self._tariff  # the rates may have changed during the recovery
                self.processors[processor.number] = processor
            self._positions |= positions
        allocator.settle()
        self._timers_from = self._clock() + TIMERS_REST
        took = perf_counter() - started
        self._observer.recovered_partitions(records, took)
        self._observer.assigned(self.processors.values())
        log.info("partitions adopted", partitions=sorted(numbers), records=records, seconds=round(took, 3))

    async def release(self, numbers: set[int]) -> None:
        """R1: stops taking these partitions, settles the running commit, drops their state, lets go."""
        async with self._lock:
            await self._settle()
            for number in numbers:
                self.processors.pop(number, None)
            self._positions = {place: at for place, at in self._positions.items() if place[1] not in numbers}
            # What was fetched and not applied is fetched again by the next owner.
            self._queue = deque(without(batch, numbers) for batch in self._queue)
            self._make_room()
            await asyncio.get_running_loop().run_in_executor(self._committer, self._checkpoints.release, numbers)
        failpoints.done("R1")
        self._observer.assigned(self.processors.values())
        log.info("partitions released", partitions=sorted(numbers))

    async def stop(self) -> None:
        """Settles the running commit and ends the loop; the partitions have been released before."""
        if self._loop_task is not None:
            self._loop_task.remove_done_callback(self._loop_ended)
            self._loop_task.cancel()
        async with self._lock:
            await self._settle()
        await asyncio.get_running_loop().run_in_executor(self._committer, self._checkpoints.stop)
        self._committer.shutdown()
        self._recoverer.shutdown()

    async def _run(self) -> None:
        while True:
            if not self._queue:
                self._wake.clear()
                await self._tick_until_needed()
            if self._linger_s and len(self._queue) == 1 and self._commit is None:
                await asyncio.sleep(self._linger_s)
            async with self._lock:
                if sum(len(batch.records) for batch in self._queue) < self._batch_max_events:
                    await self._settle()  # what arrives meanwhile comes along: large cycles cost less per event
                records, ends = self._take() if self._queue else ([], {})
                if records or ends or self._until_due_s() <= 0:
                    await self._commit_later(self._apply(records, ends))
            await asyncio.sleep(0)

    async def _commit_later(self, work: Work) -> None:
        """Hands the cycle's work to the committing thread; timers that found nothing to do leave none."""
        if not work.offsets:
            return
        await self._settle()
        failpoints.done("B3")
        loop = asyncio.get_running_loop()
        commit = loop.run_in_executor(self._committer, self._commit_work, work)
        watch = loop.call_later(self._commit_within_s, self._commit_hangs)
        commit.add_done_callback(lambda _: watch.cancel())
        commit.add_done_callback(self._commit_ended)
        self._commit = commit

    async def _tick_until_needed(self) -> None:
        """Returns when a batch is queued or a timer is due."""
        while True:
            self._observer.ticked()
            pause_s = self._until_due_s()
            if pause_s <= 0:
                return
            try:
                await asyncio.wait_for(self._wake.wait(), min(pause_s, 1.0))
            except TimeoutError:
                continue
            return

    def _until_due_s(self) -> float:
        """Returns how long it takes until the next timer may fire.

        Never without a position: what time alone changed could not be fenced. Whoever has an account has one, as the
        account was committed with it, unless the group's positions were lost: then timers wait for the first record.
        """
        times = [due for processor in self.processors.values() if (due := processor.timers.next()) is not None]
        if not times or not self._positions:
            return math.inf
        return (max(min(times), self._timers_from) - self._clock()).total_seconds()

    def _take(self) -> tuple[list[Record], dict[tuple[str, int], int]]:
        """B1: takes what is queued, in the order fetched, up to the limit of one transaction."""
        records: list[Record] = []
        ends: dict[tuple[str, int], int] = {}
        room = self._batch_max_events
        while self._queue and (not records or len(records) + len(self._queue[0].records) <= room):
            batch = self._queue.popleft()
            records += batch.records
            ends.update(batch.ends)
        self._make_room()
        failpoints.done("B1")
        return records, ends

    def _make_room(self) -> None:
        if len(self._queue) < BATCHES_WAITING_MAX:
            self._room.set()

    def _apply(self, records: list[Record], ends: Mapping[tuple[str, int], int]) -> Work:
        """B2: no await in here, so a commit never sees half a message."""
        started = perf_counter()
        work = Work(self._clock())
        touched = set()
        for topic, number, run in runs(records):
            self.processors[number].process(topic, run, work)
            work.arrivals.append((run[0].timestamp()[1], len(run)))
            touched.add(number)
        self._positions.update(work.offsets)
        self._pass_over(ends, work)
        touched |= self._fire(work)
        for number in touched:
            self.processors[number].finish(work)
        work.apply_s = perf_counter() - started
        self._observer.ticked()
        failpoints.done("B2")
        return work

    def _pass_over(self, ends: Mapping[tuple[str, int], int], work: Work) -> None:
        """Moves positions behind markers of transactions, and records of aborted ones, at the end of their partition.

        A position before them would be out of range once retention has deleted them, although nothing was lost.
        """
        for place, end in ends.items():
            if self._positions.get(place, end) < end:
                work.offsets[place] = self._positions[place] = end

    def _fire(self, work: Work) -> set[int]:
        """Lets time do its part; returns the partitions that it changed.

        The broker fences a stale group member by the input positions of its transaction, so there is always one: where
        no record was applied, a position that is committed already.
        """
        fired: set[int] = set()
        if work.now < self._timers_from or not self._positions:
            return fired
        for number, processor in self.processors.items():
            if work.timers < TIMERS_MAX and processor.fire(work, TIMERS_MAX - work.timers):
                fired.add(number)
        if fired and not work.offsets:
            place = next(iter(self._positions))
            work.offsets[place] = self._positions[place]
        return fired

    def _commit_work(self, work: Work) -> None:
        """B4 to B7, in the committing thread."""
        started = perf_counter()
        self.committing_since = monotonic()
        ends = self._transactions.commit(work, self.group_metadata)
        self._checkpoints.committed(work, ends)
        self.committing_since = None
        self._observer.committed(work, perf_counter() - started)
        failpoints.done("B7")

    async def _settle(self) -> None:
        """B3: waits for the previous cycle's commit; one transaction at a time."""
        if self._commit is not None:
            await asyncio.wait([self._commit])  # whoever is cancelled here leaves the commit alone
            self._commit.result()
            self._commit = None

    def _commit_hangs(self) -> None:
        """Ends the process: librdkafka may wait in a call beyond the call's own timeout."""
        self._on_death(TimeoutError(f"the commit has not come back within {self._commit_within_s:.0f} s"))

    def _commit_ended(self, commit: asyncio.Future[None]) -> None:
        if not commit.cancelled() and (error := commit.exception()) is not None:
            self._on_death(error)

    def _loop_ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if isinstance(error, InvariantViolated):
            self._observer.invariant_violated()
        self._on_death(error or RuntimeError("the commit cycle ended by itself"))
