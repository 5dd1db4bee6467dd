"""Parks a record that cannot be applied: untouched, with the reason beside it, in the same transaction."""

from typing import Final

from confluent_kafka import Message as Record

import processor
from processor.domain.errors import InputRejected

PREFIX: Final = "credits.error."

KafkaHeaders = list[tuple[str, str | bytes | None]]


def headers(record: Record, stage: str, rejected: InputRejected) -> KafkaHeaders:
    """Returns the original headers plus where the record came from and why it was parked.

    The explanation carries no field values, so dead letters may be listed without showing personal data.
    """
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
    return [*(record.headers() or []), *((PREFIX + name, str(value).encode()) for name, value in facts.items())]
