"""Batches of records as the lane fetches them and the cycle takes them."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from confluent_kafka import Message as Record


class Batch(NamedTuple):
    """Records as fetched, numbered without gaps so that a lost batch is noticed.

    `ends` are the offsets behind everything that a partition holds, by topic and partition, where the lane has come to
    them with these records or before. Behind the last record there may be markers of transactions.
    """

    sequence: int
    records: list[Record]
    ends: Mapping[tuple[str, int], int] = MappingProxyType({})


def without(batch: Batch, numbers: set[int]) -> Batch:
    """Leaves out what belongs to some partitions."""
    return batch._replace(
        records=[record for record in batch.records if record.partition() not in numbers],
        ends={place: end for place, end in batch.ends.items() if place[1] not in numbers},
    )


def runs(records: list[Record]) -> Iterator[tuple[str, int, list[Record]]]:
    """Brings the records of each partition together, in the order fetched, and splits them where the topic changes.

    Under a load that is kept up with, a fetched batch has few records of each partition, and a run costs something.
    """
    if not records:
        return
    records = sorted(records, key=Record.partition)
    start, topic, number = 0, records[0].topic(), records[0].partition()
    for at, record in enumerate(records):
        if record.partition() != number or record.topic() != topic:
            yield topic, number, records[start:at]
            start, topic, number = at, record.topic(), record.partition()
    yield topic, number, records[start:]
