"""Tells whether the accounts on a cluster are at home by the present number of partitions.

A tenant's partition follows from the number. Where all topics were made anew, or widened together, nothing else would
show it: every tenant would begin again with an empty account in another partition.
"""

from collections.abc import Mapping
from time import monotonic
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, TopicPartition

from processor.contracts import topics
from processor.stream.balance_table import partition_of
from processor.stream.reading import reader

SAMPLE: Final = 100
"""Accounts looked at: of a doubled number of partitions, half of the accounts are strays."""

TIMEOUT_S: Final = 10.0


def stray(config: Mapping[str, Any], partitions: int) -> tuple[int, int] | None:
    """Returns where the first stray among some accounts is and where it would be at home; None when there is none.

    Reads undecided records too, as it must not wait for a dead worker's transaction. Raises `KafkaException`.
    """
    consumer = reader(config, "read_uncommitted", queued_kbytes=1024)
    try:
        places = [TopicPartition(topics.ACCOUNT_STATE, number, OFFSET_BEGINNING) for number in range(partitions)]
        consumer.assign(places)
        looked_at, ended = 0, set[int]()
        deadline = monotonic() + TIMEOUT_S
        while looked_at < SAMPLE and len(ended) < partitions:
            if monotonic() > deadline:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001 - its public name
            for record in consumer.consume(SAMPLE, 0.05):
                error = record.error()
                if error is None:
                    home = partition_of(record.key().decode(), partitions)
                    if home != record.partition():
                        return record.partition(), home
                    looked_at += 1
                elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
                    ended.add(record.partition())
                else:
                    raise KafkaException(error)
    finally:
        consumer.close()
    return None
