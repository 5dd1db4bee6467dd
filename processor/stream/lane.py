"""Fetches batches on librdkafka and owns the order of a rebalance: steps A1, A3 and the call of R1.

librdkafka runs rebalance callbacks only inside `consume`, so the consumer has a polling thread of its own. Whatever
goes wrong here ends the process: a partition without an owner must never be read on.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import wait
from math import inf
from time import monotonic
from typing import Any, Final, Protocol

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as Record

from processor.stream import failpoints
from processor.stream.batches import Batch

log = structlog.get_logger()

POLL_S: Final = 0.2
LAG_EVERY_S: Final = 5.0
EPOCH_EVERY_S: Final = 0.02
"""How soon a new member epoch is known during a rebalance."""


class PartitionOwner(Protocol):
    """Who applies the batches; all calls arrive on the event loop."""

    async def adopt(self, numbers: set[int], positions: dict[tuple[str, int], int]) -> None:
        """Rebuilds the state of newly assigned partitions; the positions are the committed ones, if any."""

    async def release(self, numbers: set[int]) -> None:
        """Settles and forgets revoked partitions."""

    async def has_room(self) -> None:
        """Returns when another batch may be delivered."""

    async def arrived(self, sequence: int) -> None:
        """Returns when the delivered batch is in the owner's hands."""


class NotCoPartitionedError(Exception):
    """A partition number came without all input topics, so one tenant's state would live in two places.

    Operator action: all input topics must have the same number of partitions (`credits topics verify`) and every
    worker of the group the range assignor (no other consumer may use this group id).
    """


class PartitionsLostError(Exception):
    """The group gave our partitions away while we were silent: we are a zombie and must not write any more."""


class Lane:
    """A consumer that hands over whole fetched batches and waits for the owner at every rebalance."""

    def __init__(
        self,
        config: dict[str, Any],
        topics: Iterable[str],
        owner: PartitionOwner,
        *,
        batch_max_events: int,
        patience_s: float,
        on_death: Callable[[BaseException], None],
    ) -> None:
        self._topics = tuple(topics)
        self._owner = owner
        self._batch_max_events = batch_max_events
        self._patience_s = patience_s
        self._on_death = on_death
        self._incremental = config.get("group.protocol") == "consumer"
        self._consumer = Consumer(config)
        self._look_every_s = EPOCH_EVERY_S if self._incremental else POLL_S
        self._metadata: object = None
        self.lag: dict[str, int] = {}
        """How many records are not fetched yet, by topic, as the last fetches told."""
        self._lag_due = 0.0
        self.assigned = False
        """Whether the last rebalance has been completed: what is assigned is adopted and being fetched."""
        self._sequence = 0
        self._ends: dict[tuple[str, int], int] = {}
        self._ends_are_news = False
        self._given_back: set[int] = set()
        """Partitions that were revoked since the batch at hand was begun."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._poll_until_stopped, name="lane", daemon=True)
        self._loop: asyncio.AbstractEventLoop
        self._deliver: Callable[[Batch], Awaitable[None]]

    def start(self, deliver: Callable[[Batch], Awaitable[None]]) -> None:
        """Joins the group; `deliver` is awaited on the running event loop for every batch."""
        self._loop = asyncio.get_running_loop()
        self._deliver = deliver
        self._thread.start()

    async def stop(self) -> None:
        """Leaves the group, which releases the partitions, and closes the consumer."""
        self._stopping.set()
        if self._thread.is_alive():
            await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    def group_metadata(self) -> object:
        """Names the group generation to commit under, as the polling thread has seen it last.

        With the classic protocol it is the one of the last assignment, so that a zombie can never borrow a newer one;
        with KIP-848 the member epoch moves without an assignment, so it is looked at again and again.
        """
        return self._metadata

    def _look_at_epoch(self) -> None:
        """Belongs to the polling thread: another one would wait for a rebalance, which may wait for its commit."""
        if self._incremental:
            self._metadata = self._consumer.consumer_group_metadata()

    def assignment(self) -> list[TopicPartition]:
        """Asked by Faust; the lane owns the assignment itself."""
        return []

    def _poll_until_stopped(self) -> None:
        try:
            self._consumer.subscribe(
                list(self._topics), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
            )
            while not self._stopping.is_set():
                self._poll_once()
                if monotonic() > self._lag_due:
                    self.lag = self._measured_lag()
                    self._lag_due = monotonic() + LAG_EVERY_S
            self._consumer.close()
        except BaseException as error:  # noqa: BLE001 - the thread's last word: the process ends with it
            self._on_death(error)

    def _measured_lag(self) -> dict[str, int]:
        """Asks no broker. Belongs to the polling thread: anywhere else it would wait for a rebalance to end."""
        behind = dict.fromkeys(self._topics, 0)
        for at in self._consumer.position(self._consumer.assignment()):
            _, end = self._consumer.get_watermark_offsets(at, cached=True)
            if at.offset >= 0:
                behind[at.topic] += max(end - max(at.offset, self._ends.get((at.topic, at.partition), 0)), 0)
        return behind

    def _poll_once(self) -> None:
        # One call would wait until all of the batch or all of the time is there.
        fetched = self._consumer.consume(1, POLL_S)
        self._look_at_epoch()
        quiet = not fetched
        if fetched:
            self._given_back.clear()
            more = self._consumer.consume(self._batch_max_events - 1, 0)
            fetched = [record for record in fetched if record.partition() not in self._given_back] + more
        records = self._take_ends(fetched)
        # Ends alone are worth a transaction only when nothing is there to take them along.
        if records or (quiet and self._ends_are_news):
            self._wait_for(self._hand_over(records))

    def _take_ends(self, fetched: list[Record]) -> list[Record]:
        """Notes where partitions end and returns the records."""
        if not any(map(Record.error, fetched)):
            return fetched
        records = []
        for record in fetched:
            error = record.error()
            if error is None:
                records.append(record)
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                self._ends[record.topic(), record.partition()] = record.offset()
                self._ends_are_news = True
            else:
                raise KafkaException(error)
        return records

    async def _hand_over(self, records: list[Record]) -> None:
        await self._owner.has_room()
        batch = Batch(self._sequence, records, dict(self._ends))
        self._ends_are_news = False
        self._sequence += 1
        await self._deliver(batch)
        await self._owner.arrived(batch.sequence)

    def _wait_for(self, coroutine: Coroutine[Any, Any, None], timeout_s: float = inf) -> None:
        """Waits in the polling thread for what the event loop does; that may be a commit, which needs the epoch."""
        deadline = monotonic() + timeout_s
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        while not wait([future], min(self._look_every_s, max(deadline - monotonic(), 0))).done:
            if monotonic() > deadline:
                raise TimeoutError(f"not done within {timeout_s:.0f} s")
            self._look_at_epoch()
        future.result()

    def _assigned(self, consumer: Consumer, assigned: list[TopicPartition]) -> None:
        self.assigned = False
        try:
            numbers = self._co_partitioned(assigned)
            if assigned:
                # Waits until a predecessor's pending commit is decided.
                committed = consumer.committed(assigned, self._patience_s)
                _raise_errors(tp.error for tp in committed)
                failpoints.done("A1")
                positions = {(tp.topic, tp.partition): tp.offset for tp in committed if tp.offset >= 0}
                self._wait_for(self._owner.adopt(numbers, positions), self._patience_s)
                failpoints.done("A2")
            else:
                committed = []
            start = [
                TopicPartition(tp.topic, tp.partition, tp.offset if tp.offset >= 0 else OFFSET_BEGINNING)
                for tp in committed
            ]
            self._metadata = consumer.consumer_group_metadata()
            if self._incremental:
                consumer.incremental_assign(start)
            else:
                consumer.assign(start)
            self.assigned = True
            failpoints.done("A3")
        except BaseException as error:  # noqa: BLE001 - librdkafka would swallow it
            self._on_death(error)

    def _revoked(self, consumer: Consumer, revoked: list[TopicPartition]) -> None:
        try:
            numbers = {tp.partition for tp in revoked}
            self._given_back |= numbers
            self._ends = {place: end for place, end in self._ends.items() if place[1] not in numbers}
            self._wait_for(self._owner.release(numbers), self._patience_s)
            if self._incremental:
                consumer.incremental_unassign(revoked)
            else:
                self.assigned = False  # everything is given back; the new assignment follows
                consumer.unassign()
        except BaseException as error:  # noqa: BLE001 - librdkafka would swallow it
            self._on_death(error)

    def _lost(self, consumer: Consumer, lost: list[TopicPartition]) -> None:
        del consumer
        self._on_death(PartitionsLostError(f"{len(lost)} partitions were given to another worker"))

    def _co_partitioned(self, assigned: list[TopicPartition]) -> set[int]:
        by_number: dict[int, set[str]] = {}
        for tp in assigned:
            by_number.setdefault(tp.partition, set()).add(tp.topic)
        for number, topics in sorted(by_number.items()):
            if topics != set(self._topics):
                raise NotCoPartitionedError(f"partition {number} came with {sorted(topics)} only")
        return set(by_number)


def _raise_errors(errors: Iterable[KafkaError | None]) -> None:
    for error in errors:
        if error is not None:
            raise KafkaException(error)
