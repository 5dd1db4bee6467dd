"""The worker's transactional producer: steps W1 and B4 to B6."""

import time
from collections.abc import Callable
from typing import Any, Final

import structlog
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka import Message as Record

from processor.contracts import topics
from processor.domain.errors import InvariantViolated
from processor.stream import failpoints
from processor.stream.clock import compare
from processor.stream.work import Work

log = structlog.get_logger()

EPOCH_TRIES: Final = 40
EPOCH_PAUSE_S: Final = 0.05
"""How often, and after what pause, a cycle is committed again under a newer member epoch: 2 s in all at least."""


class Transactions:
    """One transactional producer per worker process; its id is stable across restarts.

    Every call blocks: it runs in the committing thread, beside the next cycle's work. Any exception means that the
    process must exit: what is in memory may not match what is committed.
    """

    def __init__(
        self,
        config: dict[str, Any],
        transactional_id: str,
        timeout_s: int,
        wall: Callable[[], float] = time.time,
        *,
        epoch_moves: bool = False,
    ) -> None:
        self._patience_s = 3 * timeout_s
        self._epoch_moves = epoch_moves
        self._wall = wall
        self._producer = Producer(
            {
                **config,
                "transactional.id": transactional_id,
                "transaction.timeout.ms": timeout_s * 1000,
                "compression.type": "lz4",
                "linger.ms": 5,
                "batch.size": 1 << 20,
                "message.max.bytes": 8 << 20,  # as dead.letters.v1 and usage.rerouted.v1 allow
                "queue.buffering.max.messages": 1_000_000,
                "queue.buffering.max.kbytes": 1 << 20,
                # A transaction begun right after another is told to wait for its markers: ask again at once,
                # 100 ms (the default) would be the latency of every recharge.
                "retry.backoff.ms": 1,
                "retry.backoff.max.ms": 50,
                "socket.nagle.disable": True,
            }
        )

    def open(self) -> None:
        """W1: fences an older self and aborts what it left open. Then holds our clock against the broker's."""
        self._producer.init_transactions(self._patience_s)
        failpoints.done("W1")
        self._compare_clocks()

    def _compare_clocks(self) -> None:
        """Has the broker say when it appended a record, and aborts it: nobody ever reads it."""
        appended: list[tuple[int, int]] = []

        def delivered(error: KafkaError | None, record: Record) -> None:
            if error is None:
                appended.append(record.timestamp())

        before_s = self._wall()
        self._producer.begin_transaction()
        self._producer.produce(topics.EVENT_IDS, b"", partition=0, on_delivery=delivered)
        self._producer.flush(self._patience_s)
        after_s = self._wall()
        self._producer.abort_transaction(self._patience_s)
        if not appended:
            raise TimeoutError("no broker has taken a record to compare the clocks by")
        [(kind, at_ms)] = appended
        if kind == TIMESTAMP_LOG_APPEND_TIME:
            compare(before_s, at_ms / 1000, after_s)

    def commit(self, work: Work, group_metadata: Callable[[], object]) -> dict[tuple[str, int], int]:
        """Commits one cycle: all of it becomes visible together with its input offsets, or none of it.

        B4 produces, B5 adds the input offsets with the group generation (a stale one is refused by the broker),
        B6 commits. Returns, for each changelog partition written to, the offset behind its last record.

        Where the epoch moves (KIP-848), a member that keeps its partitions is refused as well when another one has come
        or gone a moment ago: its transaction is aborted, and all of it made again under the newer epoch. A zombie does
        not get one: librdkafka rejoins only after it has told us that the partitions are lost, which ends the process.
        """
        tries = EPOCH_TRIES if self._epoch_moves else 1
        while True:
            try:
                return self._try(work, group_metadata())
            except KafkaException as error:
                tries -= 1
                if not tries or error.args[0].code() != KafkaError.ILLEGAL_GENERATION:
                    raise
            log.info("the group has moved on, committing under its newer epoch", tries_left=tries)
            self._producer.abort_transaction(self._patience_s)
            time.sleep(EPOCH_PAUSE_S)

    def _try(self, work: Work, group_metadata: object) -> dict[tuple[str, int], int]:
        ends: dict[tuple[str, int], int] = {}

        def delivered(error: KafkaError | None, record: Record) -> None:
            if error is None:  # otherwise the commit fails
                ends[record.topic(), record.partition()] = record.offset() + 1

        if not work.offsets:
            raise InvariantViolated("a transaction without input positions would not be fenced")
        producer = self._producer
        produce = producer.produce
        producer.begin_transaction()
        for topic, partition, key, value, headers in work.outputs:
            if headers is None:
                produce(topic, value, key, partition)
            else:
                produce(topic, value, key, partition, headers=headers)
        for (topic, partition), changes in work.changelogs.items():
            *others, (last_key, last_value) = changes
            for key, value in others:
                produce(topic, value, key, partition)
            produce(topic, last_value, last_key, partition, on_delivery=delivered)
        failpoints.done("B4")
        if self._epoch_moves:
            # What an abort finds unsent leaves a gap in librdkafka's sequence numbers: the next transaction would fail.
            producer.flush(self._patience_s)
        offsets = [TopicPartition(topic, partition, offset) for (topic, partition), offset in work.offsets.items()]
        producer.send_offsets_to_transaction(offsets, group_metadata, self._patience_s)
        failpoints.done("B5")
        producer.commit_transaction(self._patience_s)
        failpoints.done("B6")
        return ends
