"""Follows the meter's topics into the read model: takes a batch, stores it with its offsets, tells who waits."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from processor.console.lag import Lag
from processor.console.readmodel import Place, ReadModel, StaleReadModelError
from processor.console.records import FOLLOWED, Record, changes_of

BATCH: Final = 5_000
"""Records per transaction at most: beyond this a larger batch is no faster, and readers would wait longer."""
TAKE: Final = 250
"""Records taken at once: meanwhile no request can run, because the client library makes its objects in one go."""
POLL_S: Final = 0.2
CONNECT_S: Final = 10.0
LOOK_EVERY_S: Final = 5.0
LOOK_WITHIN_S: Final = 3.0
PRUNE_EVERY_S: Final = 60.0

_RIDDEN_OUT: Final = (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE, KafkaError._TIMED_OUT)  # noqa: SLF001
"""librdkafka connects again by itself; meanwhile the pages show what is stored, and that the lag is unknown."""


class Follower:
    """Runs in a thread of its own; `stored` is called after every commit with the tenants that it was about.

    `forget` is called now and then with the time (ms) before which the retention has ended.
    """

    def __init__(
        self,
        conf: dict[str, Any],
        model: ReadModel,
        retention_days: int,
        stored: Callable[[set[str]], None] = lambda _tenants: None,
        forget: Callable[[int], None] = lambda _before_ms: None,
    ) -> None:
        self._conf = conf
        self._model = model
        self._retention_ms = retention_days * 86_400_000
        self._stored = stored
        self._forget = forget
        self._stop = threading.Event()
        self._admin = AdminClient(dict(conf))
        self._places: list[Place] = []
        self.lag = Lag()

    def stop(self) -> None:
        """Ends `run` after the batch under way."""
        self._stop.set()

    def run(self) -> None:
        """Follows until `stop`.

        Raises `KafkaException`, `StaleReadModelError`, `AnotherWriterError` and `UnreadableRecordError`.
        """
        cluster_id, self._places = self._cluster()
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
                "error_cb": self._heard,
            }
        )
        try:
            starts = self._model.start(cluster_id, self._places)
            self.lag.begin({place: starts[place] for place in self._places})
            consumer.assign([TopicPartition(*place, starts[place] or OFFSET_BEGINNING) for place in self._places])
            self._follow(consumer)
        finally:
            consumer.close()

    def _cluster(self) -> tuple[str, list[Place]]:
        found = self._admin.list_topics(timeout=CONNECT_S)
        places = []
        for topic in FOLLOWED:
            if topic not in found.topics:
                raise StaleReadModelError(f"topic {topic} does not exist (create it with `credits topics apply`)")
            places += [(topic, partition) for partition in found.topics[topic].partitions]
        return found.cluster_id or "", places

    def _follow(self, consumer: Consumer) -> None:
        prune_at = time.monotonic()
        look_at = prune_at + LOOK_EVERY_S
        while not self._stop.is_set():
            records, ended = self._take(consumer)
            if records:
                changes = changes_of(records)
                self._model.store(changes)
                self.lag.stored += len(records)
                for place, reached in changes.offsets.items():
                    self._note(consumer, place, reached)
                self._stored(changes.tenants)
            for place, end in ended.items():
                self.lag.reach(place, end, end)
            now = time.monotonic()
            if records or ended:
                look_at = now + LOOK_EVERY_S
            elif now >= look_at:
                self._look()
                look_at = time.monotonic() + LOOK_EVERY_S
            if now >= prune_at and not self._prune():
                prune_at = time.monotonic() + PRUNE_EVERY_S

    def _prune(self) -> bool:
        """Deletes a little of what is too old, between two batches; tells whether there may be more."""
        before_ms = int(time.time() * 1000) - self._retention_ms
        if self._model.prune(before_ms):
            return True
        self._forget(before_ms)
        return False

    def _take(self, consumer: Consumer) -> tuple[list[Record], dict[Place, int]]:
        """Returns a batch, and where the partitions end whose last record is in it or was before.

        Waits for the first message only: librdkafka's own batch call would wait for all of them.
        """
        first = consumer.poll(POLL_S)
        if first is None:
            return [], {}
        messages = [first]
        while len(messages) < BATCH and (more := consumer.consume(TAKE, 0)):
            messages += more
        records: list[Record] = []
        ended: dict[Place, int] = {}
        for message in messages:
            error, place = message.error(), (message.topic(), message.partition())
            if error is None:
                records.append(Record(*place, message.offset(), message.value()))
                ended.pop(place, None)
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - that is its public name
                ended[place] = message.offset()
            else:
                _judge(error)
        return records, ended

    def _note(self, consumer: Consumer, place: Place, reached: int) -> None:
        with suppress(KafkaException):  # the end is not known before the first fetch
            _, end = consumer.get_watermark_offsets(TopicPartition(*place), cached=True)
            self.lag.reach(place, reached, end)

    def _look(self) -> None:
        """Asks where the topics end: when nothing arrives, that alone tells an idle meter from a lost connection."""
        wanted = {TopicPartition(*place): OffsetSpec.latest() for place in self._places}
        try:
            found = self._admin.list_offsets(
                wanted, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=LOOK_WITHIN_S
            )
            ends = {(part.topic, part.partition): future.result().offset for part, future in found.items()}
        except KafkaException:
            self.lag.lose()
            # What the client knows of the leaders is of before they went, and it does not ask again by itself.
            self._admin = AdminClient(dict(self._conf))
        else:
            self.lag.look(ends)

    def _heard(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001
            self.lag.lose()


def _judge(error: KafkaError) -> None:
    if error.code() in (KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET):  # noqa: SLF001
        raise StaleReadModelError("the topics no longer hold the records that follow the read model")
    if error.code() not in _RIDDEN_OUT and not error.retriable():
        raise KafkaException(error)
