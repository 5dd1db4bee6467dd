"""Reads topics the way auditors must: committed records only, from the beginning to where the topic ended when asked.

The end is the high watermark that includes open transactions, so everything a writer had sent before the call is
waited for until it commits or aborts.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from processor.cli.common import CONNECT_TIMEOUT_S, TopicMissing, broker_errors
from processor.stream.reading import offsets

BATCH = 10_000
"""Messages per call into librdkafka: large enough that the call costs nothing, small enough to stay in the cache."""
POLL_S = 0.2


def partitions_of(conf: Mapping[str, Any], topic: str) -> int:
    """Returns how many partitions a topic has; raises `TopicMissing` and `BrokerUnreachable`."""
    with broker_errors(conf):
        found = AdminClient(dict(conf)).list_topics(topic, timeout=CONNECT_TIMEOUT_S).topics[topic]
        if found.error is not None and found.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise TopicMissing(topic)
        if found.error is not None:
            raise KafkaException(found.error)
        return len(found.partitions)


def end_offsets(conf: Mapping[str, Any], where: Iterable[tuple[str, int]]) -> dict[tuple[str, int], int]:
    """Returns the present high watermark of each (topic, partition), open transactions included."""
    with broker_errors(conf):
        return offsets(conf, where, OffsetSpec.latest(), timeout_s=CONNECT_TIMEOUT_S * 2)


def read_committed(
    conf: Mapping[str, Any],
    topic: str,
    partitions: Iterable[int] | None = None,
    newest: int | None = None,
    since: Mapping[int, int] | None = None,
) -> Iterator[Message]:
    """Yields every committed record of a topic, or of some partitions, up to where it ends now.

    With `newest`, only so many offsets at the end of each partition; with `since`, from these offsets by partition.
    Order holds within a partition; `conf` is `client_conf(settings)`. Raises `TopicMissing`, `BrokerUnreachable`.
    """
    chosen = range(partitions_of(conf, topic)) if partitions is None else partitions
    ends = end_offsets(conf, ((topic, partition) for partition in chosen))
    known = since or {}
    open_ends = {partition: end for (_, partition), end in ends.items() if end > known.get(partition, 0)}
    if not open_ends:
        return
    starts = {
        (topic, at): known.get(at, 0) if newest is None else max(end - newest, 0) for at, end in open_ends.items()
    }
    with broker_errors(conf), _Assigned(conf, starts) as consumer:
        while open_ends:
            for message in _take(consumer, POLL_S):
                partition, offset = message.partition(), message.offset()
                end = open_ends.get(partition)
                if message.error() is not None and message.error().code() != KafkaError._PARTITION_EOF:  # noqa: SLF001
                    raise KafkaException(message.error())
                if end is None:
                    continue
                if offset < end:
                    if message.error() is None:
                        yield message
                    continue
                # Either the end itself, or a record that was written after the call.
                del open_ends[partition]
                consumer.incremental_unassign([TopicPartition(topic, partition)])


class Tail:
    """Follows partitions from where they end now: open it before doing what will be answered there."""

    def __init__(self, conf: Mapping[str, Any], where: Iterable[tuple[str, int]]) -> None:
        self._conf = conf
        self._assigned = _Assigned(conf, end_offsets(conf, where))

    def __enter__(self) -> Self:
        self._consumer = self._assigned.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._assigned.__exit__(kind, error, trace)

    def messages(self, timeout_s: float) -> Iterator[Message]:
        """Yields committed records as they arrive, until `timeout_s` have passed."""
        deadline = time.monotonic() + timeout_s
        with broker_errors(self._conf):
            while (left := deadline - time.monotonic()) > 0:
                for message in _take(self._consumer, min(left, POLL_S)):
                    error = message.error()
                    if error is None:
                        yield message
                    elif error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001
                        raise KafkaException(error)


def _take(consumer: Consumer, timeout_s: float) -> list[Message]:
    """Waits for the first message only: librdkafka's own batch call would wait for all of them."""
    first = consumer.poll(timeout_s)
    return [] if first is None else [first, *consumer.consume(BATCH, 0)]


class _Assigned:
    """A consumer without a group, assigned to fixed offsets; closed at the end of its `with`."""

    def __init__(self, conf: Mapping[str, Any], offsets: Mapping[tuple[str, int], int]) -> None:
        self._consumer = Consumer(
            {
                **conf,
                "group.id": "credits-reader",  # required by librdkafka, never joined
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 50,
                "fetch.message.max.bytes": 500_000,  # of each partition, compressed: ten times as much in memory
                "queued.max.messages.kbytes": 32_768,
            }
        )
        self._consumer.assign([TopicPartition(topic, part, offset) for (topic, part), offset in offsets.items()])

    def __enter__(self) -> Consumer:
        return cast("Consumer", self._consumer)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()
