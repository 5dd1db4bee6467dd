"""Follows the meter's topics into the read model: takes a batch, stores it with its offsets, tells who waits."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from processor.console.readmodel import Place, ReadModel, StaleReadModelError
from processor.console.records import FOLLOWED, Record, changes_of

BATCH: Final = 5_000
"""Records per transaction at most: beyond this a larger batch is no faster, and readers would wait longer."""
TAKE: Final = 250
"""Records taken at once: meanwhile no request can run, because the client library makes its objects in one go."""
POLL_S: Final = 0.2
CONNECT_S: Final = 10.0
PRUNE_EVERY_S: Final = 60.0

_RIDDEN_OUT: Final = (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE, KafkaError._TIMED_OUT)  # noqa: SLF001
"""librdkafka connects again by itself; meanwhile the pages show what is stored, and the lag."""


class Lag:
    """How far the read model is behind the topics, in records; unknown until every partition has answered."""

    def __init__(self) -> None:
        self._behind: dict[Place, int] = {}
        self._places = 0
        self.stored = 0

    def begin(self, places: int) -> None:
        """Says how many partitions there are."""
        self._places = places

    def note(self, place: Place, behind: int) -> None:
        """Notes the distance of one partition."""
        self._behind[place] = behind

    @property
    def records(self) -> int | None:
        """Records that are committed and not yet in the read model; None until it is known."""
        return None if len(self._behind) < self._places or not self._places else sum(self._behind.values())


class Follower:
    """Runs in a thread of its own; `failure` holds what ended it, `stored` is called after every commit."""

    def __init__(
        self, conf: dict[str, Any], model: ReadModel, retention_days: int, stored: Callable[[], None] = lambda: None
    ) -> None:
        self._conf = conf
        self._model = model
        self._retention_ms = retention_days * 86_400_000
        self._stored = stored
        self._stop = threading.Event()
        self.lag = Lag()

    def stop(self) -> None:
        """Ends `run` after the batch under way."""
        self._stop.set()

    def run(self) -> None:
        """Follows until `stop`.

        Raises `KafkaException`, `StaleReadModelError`, `AnotherWriterError` and `UnreadableRecordError`.
        """
        cluster_id, places = self._cluster()
        self.lag.begin(len(places))
        consumer = Consumer(
            {
                **self._conf,
                "group.id": "credits-console",  # required by librdkafka, never joined: the offsets are in the database
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                "auto.offset.reset": "error",
                "fetch.wait.max.ms": 50,
                "queued.max.messages.kbytes": 32_768,
            }
        )
        try:
            starts = self._model.start(cluster_id, places)
            consumer.assign([TopicPartition(*place, starts[place] or OFFSET_BEGINNING) for place in places])
            self._follow(consumer)
        finally:
            consumer.close()

    def _cluster(self) -> tuple[str, list[Place]]:
        found = AdminClient(dict(self._conf)).list_topics(timeout=CONNECT_S)
        places = []
        for topic in FOLLOWED:
            if topic not in found.topics:
                raise StaleReadModelError(f"topic {topic} does not exist (create it with `credits topics apply`)")
            places += [(topic, partition) for partition in found.topics[topic].partitions]
        return found.cluster_id or "", places

    def _follow(self, consumer: Consumer) -> None:
        prune_at = time.monotonic()
        while not self._stop.is_set():
            records = self._take(consumer)
            if records:
                changes = changes_of(records)
                self._model.store(changes)
                self.lag.stored += len(records)
                for (topic, partition), reached in changes.offsets.items():
                    self._note(consumer, topic, partition, reached)
                self._stored()
            elif time.monotonic() >= prune_at:
                before_ms = int(time.time() * 1000) - self._retention_ms
                while self._model.prune(before_ms) and not self._stop.is_set():
                    pass
                prune_at = time.monotonic() + PRUNE_EVERY_S

    def _take(self, consumer: Consumer) -> list[Record]:
        """Waits for the first message only: librdkafka's own batch call would wait for all of them."""
        first = consumer.poll(POLL_S)
        if first is None:
            return []
        messages = [first]
        while len(messages) < BATCH and (more := consumer.consume(TAKE, 0)):
            messages += more
        records = []
        for message in messages:
            error = message.error()
            if error is None:
                records.append(Record(message.topic(), message.partition(), message.offset(), message.value()))
            else:
                self._judge(message, error)
        return records

    def _judge(self, message: Message, error: KafkaError) -> None:
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - that is its public name
            self.lag.note((message.topic(), message.partition()), 0)
        elif error.code() in (KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET):  # noqa: SLF001
            raise StaleReadModelError("the topics no longer hold the records that follow the read model")
        elif error.code() not in _RIDDEN_OUT and not error.retriable():
            raise KafkaException(error)

    def _note(self, consumer: Consumer, topic: str, partition: int, reached: int) -> None:
        with suppress(KafkaException):  # the distance is not known before the first fetch
            _, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), cached=True)
            # Transaction markers occupy offsets too: the end of the partition, when it is reached, says zero.
            self.lag.note((topic, partition), max(high - reached, 0))
