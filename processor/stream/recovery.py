"""Rebuilds partitions from their changelogs: step A2."""

from time import monotonic
from typing import Any, Final

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from processor.contracts import topics
from processor.contracts.outputs import decode_account
from processor.stream.partition import PartitionProcessor

CHANGELOGS: Final = (topics.ACCOUNT_STATE, topics.EVENT_IDS)

log = structlog.get_logger()


class RecoveryStalledError(Exception):
    """The changelog's end was not reached in time.

    Operator action: another worker's transaction may be open; it is aborted by the broker after its timeout. Look for
    brokers that are down; the worker is restarted and tries again.
    """


def recover(config: dict[str, Any], processors: list[PartitionProcessor], patience_s: float) -> int:
    """Fills the processors with everything committed so far; returns the number of records read.

    Reads committed records up to the high watermark that includes undecided ones: a dead predecessor's open
    transaction holds back whatever a later owner has committed behind it, so stopping at the last stable offset could
    miss committed debits.
    """
    owners = {processor.number: processor for processor in processors}
    targets = _high_watermarks(config, list(owners))
    consumer = Consumer(
        {
            **config,
            "group.id": "credits-recovery",  # required by the client; never joined, never committed
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "fetch.wait.max.ms": 20,
            "queued.max.messages.kbytes": 65_536,
        }
    )
    try:
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for topic, number in targets])
        records = _read(consumer, owners, targets, monotonic() + patience_s)
    finally:
        consumer.close()
    for processor in processors:
        processor.restored()
    return records


def _high_watermarks(config: dict[str, Any], numbers: list[int]) -> dict[tuple[str, int], int]:
    admin = AdminClient(config)
    wanted = {TopicPartition(topic, number): OffsetSpec.latest() for topic in CHANGELOGS for number in numbers}
    ends = admin.list_offsets(wanted, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=30)
    return {(tp.topic, tp.partition): end.result().offset for tp, end in ends.items()}


def _read(
    consumer: Consumer, owners: dict[int, PartitionProcessor], targets: dict[tuple[str, int], int], deadline: float
) -> int:
    records, open_ends = 0, {end for end, offset in targets.items() if offset > 0}
    while open_ends:
        # One call would wait for all of the batch or all of the time.
        for record in consumer.consume(1, 0.2) + consumer.consume(10_000, 0):
            topic, number = record.topic(), record.partition()
            error = record.error()
            if error is not None:
                if error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                    raise KafkaException(error)
                # The position at the end of the partition, behind control records too.
                if record.offset() >= targets[topic, number]:
                    open_ends.discard((topic, number))
                continue
            records += 1
            if topic == topics.ACCOUNT_STATE:
                owners[number].table.restore(decode_account(record.value()))
            else:
                owners[number].ids.restore(record.value())
        if monotonic() > deadline:
            raise RecoveryStalledError(f"{sorted(open_ends)} not read to the end in time")
    return records
