"""Reads partitions of our own topics up to their present end."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, Final

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka import Message as Record
from confluent_kafka.admin import AdminClient, OffsetSpec

ADMIN_TIMEOUT_S: Final = 30
BATCH_RECORDS: Final = 10_000

Place = tuple[str, int]
"""Topic and partition."""


class ReadingStalledError(Exception):
    """The end of a partition was not reached in time.

    Operator action: another worker's transaction may be open; it is aborted by the broker after its timeout. Look for
    brokers that are down; the worker is restarted and goes on where it was.
    """


def offsets(
    config: Mapping[str, Any],
    places: Iterable[Place],
    spec: OffsetSpec,
    isolation: IsolationLevel = IsolationLevel.READ_UNCOMMITTED,
    timeout_s: float = ADMIN_TIMEOUT_S,
) -> dict[Place, int]:
    """Asks for an offset of every place; the latest one is the high watermark, which counts undecided records too.

    With the other isolation the latest is the last stable offset.
    """
    admin = AdminClient(dict(config))  # must outlive its futures
    wanted = {TopicPartition(*place): spec for place in places}
    asked = admin.list_offsets(wanted, isolation_level=isolation, request_timeout=timeout_s)
    return {(tp.topic, tp.partition): answer.result().offset for tp, answer in asked.items()}


def start_after(config: dict[str, Any], place: Place, known: int | None, kept: timedelta) -> int:
    """Returns where to read on: the known offset, unless the partition does not reach there, or what is kept begins."""
    first, end = (offsets(config, [place], spec)[place] for spec in (OffsetSpec.earliest(), OffsetSpec.latest()))
    if known is not None and first <= known <= end:
        return known
    since_ms = int((datetime.now(UTC) - kept).timestamp() * 1000)
    since = offsets(config, [place], OffsetSpec.for_timestamp(since_ms))[place]
    return since if since >= 0 else end


def topic_id(config: dict[str, Any], topic: str) -> str:
    """Returns the id that the cluster gave a topic when it was created."""
    admin = AdminClient(config)
    described = admin.describe_topics(TopicCollection([topic]), request_timeout=ADMIN_TIMEOUT_S)
    return str(described[topic].result().topic_id)


def reader(config: Mapping[str, Any], isolation: str, queued_kbytes: int) -> Consumer:
    """Returns a consumer of no group, which says where a partition ends."""
    return Consumer(
        {
            **config,
            "group.id": "credits-reading",  # required by the client; never joined, never committed
            "isolation.level": isolation,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 20,
            "queued.max.messages.kbytes": queued_kbytes,
            "fetch.queue.backoff.ms": 10,  # a full queue is read within milliseconds; the default is a second
        }
    )


def read_to_the_end(config: dict[str, Any], starts: dict[Place, int], deadline: float) -> Iterator[list[Record]]:
    """Yields the committed records from `starts` to the high watermarks of now, in batches of one partition or more.

    The high watermark counts undecided records too: what was committed behind another one's open transaction is waited
    for. Raises `ReadingStalledError` at the deadline, a time of the monotonic clock.
    """
    targets = offsets(config, starts, OffsetSpec.latest())
    waiting = {place for place, end in targets.items() if max(starts[place], 0) < end}
    if not waiting:
        return
    consumer = reader(config, "read_committed", queued_kbytes=65_536)
    try:
        consumer.assign([TopicPartition(*place, starts[place]) for place in waiting])
        while waiting:
            # One call would wait for all of the batch or all of the time.
            batch = []
            for record in consumer.consume(1, 0.2) + consumer.consume(BATCH_RECORDS, 0):
                error = record.error()
                if error is None:
                    batch.append(record)
                elif error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                    raise KafkaException(error)
                elif record.offset() >= targets[record.topic(), record.partition()]:
                    waiting.discard((record.topic(), record.partition()))
            if batch:
                yield batch
            if monotonic() > deadline:
                raise ReadingStalledError(f"{sorted(waiting)} not read to the end in time")
    finally:
        consumer.close()
