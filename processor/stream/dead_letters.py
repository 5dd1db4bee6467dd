"""Parks a record that cannot be applied: untouched, with the reason beside it, in the same transaction."""

from typing import Final, NamedTuple

from confluent_kafka import Message as Record

import processor
from processor.domain.errors import InputRejected

PREFIX: Final = "credits.error."

KafkaHeaders = list[tuple[str, str | bytes | None]]


MAX_PARKED_BYTES: Final = 4 << 20
"""Half of what `dead.letters.v1` takes, so that a parked record fits however badly it compresses."""


class Parked(NamedTuple):
    """What is written to `dead.letters.v1`."""

    key: bytes | None
    value: bytes | None
    headers: KafkaHeaders


def park(record: Record, stage: str, rejected: InputRejected) -> Parked:
    """Returns the record untouched, with where it came from and why it was parked added to its headers.

    A record of a few megabytes, which only compression brought past its topic's limit, is parked without its value and
    headers: they stay where they are, at the noted topic, partition and offset, until the topic's retention ends.
    The explanation carries no field values, so dead letters may be listed without showing personal data.
    """
    key, value, original = record.key(), record.value(), record.headers() or []
    size = len(key or b"") + len(value or b"") + sum(len(name) + len(held or b"") for name, held in original)
    _, timestamp_ms = record.timestamp()
    facts = {
        "topic": record.topic(),
        "partition": record.partition(),
        "offset": record.offset(),
        "timestamp": timestamp_ms,
        "stage": stage,
        "reason": rejected.reason,
        "message": rejected.message,
        "processor_version": processor.__version__,
    }
    if size > MAX_PARKED_BYTES:
        key, value, original = (key or b"")[:1024], None, []
        facts["omitted_bytes"] = size
    noted = [(PREFIX + name, str(fact).encode()) for name, fact in facts.items()]
    return Parked(key, value, [*original, *noted])
