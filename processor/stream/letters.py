"""Reads what stands in `dead.letters.v1`, and says how a parked record goes back to where it came from.

Whoever replays a letter writes a receipt behind it, into its partition: a record without a value that names the
letter's offset. A letter without a receipt is open. If the record is parked again, that is a new letter, which counts
the attempts and remembers when the record first arrived.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from confluent_kafka import Message as Record

from processor.contracts import topics
from processor.contracts.inputs import MAX_RECORD_BYTES
from processor.domain.errors import REASONS, Reason
from processor.stream.dead_letters import PREFIX, KafkaHeaders

REPLAY: Final = "credits.replay."
ATTEMPT: Final = REPLAY + "attempt"
ARRIVED: Final = REPLAY + "arrived"
OFFSET: Final = REPLAY + "offset"

Place = tuple[int, int]
"""Partition and offset of a letter."""


class NotALetterError(ValueError):
    """A record of `dead.letters.v1` that no meter has written: it lacks the headers that say why it is there."""


class Letter(NamedTuple):
    """A parked record: key, value and headers as its producer sent them, and what the meter noted about it."""

    place: Place
    parked_at: datetime
    topic: str
    partition: int
    offset: int
    arrived_at: datetime
    """When the record first reached its topic, before any replay."""
    stage: str
    reason: Reason
    message: str
    version: str
    attempts: int
    """How often it has been replayed before it was parked here."""
    omitted_bytes: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]

    @property
    def id(self) -> str:
        """Names the letter on the command line: its partition and offset."""
        return "{}-{}".format(*self.place)

    def obstacle(self, now: datetime, window: timedelta) -> str | None:
        """Says why a replay could do no good, or even harm; None where it may be tried."""
        if self.omitted_bytes:
            return "its value is not in the letter"
        if len(self.value or b"") > MAX_RECORD_BYTES:
            return f"it has more than {MAX_RECORD_BYTES:,} bytes"
        if self.arrived_at < now - window:
            return f"it arrived more than {window.days} days ago: a copy of it may have been applied and forgotten"
        return None

    def replayed_headers(self) -> KafkaHeaders:
        """Returns the headers to send it with: its own, and the count of attempts and first arrival beside them."""
        arrived_ms = int(self.arrived_at.timestamp() * 1000)
        return [*self.headers, (ATTEMPT, str(self.attempts + 1)), (ARRIVED, str(arrived_ms))]

    def receipt_headers(self) -> KafkaHeaders:
        """Returns the headers of the receipt, which has the letter's key and partition and no value."""
        return [(OFFSET, str(self.place[1]))]


def receipt(record: Record) -> Place | None:
    """Returns which letter a record is the receipt of; None where it is a letter itself."""
    held = dict(record.headers() or ())
    if PREFIX + "reason" in held or OFFSET not in held:
        return None
    offset = _number(held[OFFSET])
    if offset is None:
        raise NotALetterError(f"{record.partition()}-{record.offset()} is neither a letter nor a receipt")
    return record.partition(), offset


def read(record: Record) -> Letter:
    """Reads a letter; raises `NotALetterError`."""
    headers: list[tuple[str, bytes | None]] = record.headers() or []
    held = {name: (value or b"").decode("utf-8", "replace") for name, value in headers}  # the last of a name is ours
    place = record.partition(), record.offset()
    try:
        noted = {name: held[PREFIX + name] for name in ("topic", "stage", "message", "processor_version")}
        partition, offset, arrived_ms = (int(held[PREFIX + name]) for name in ("partition", "offset", "timestamp"))
        reason = next(known for known in REASONS if known == held[PREFIX + "reason"])
    except (KeyError, ValueError, StopIteration):
        raise NotALetterError(f"{place[0]}-{place[1]} has not the headers of a dead letter") from None
    if noted["topic"] not in topics.INPUTS:
        raise NotALetterError(f"{place[0]}-{place[1]} comes from a topic that is no input")
    first_ms = _number(held.get(ARRIVED, "").encode())
    return Letter(
        place=place,
        parked_at=_time(record.timestamp()[1]),
        topic=noted["topic"],
        partition=partition,
        offset=offset,
        arrived_at=_time(arrived_ms if first_ms is None else min(first_ms, arrived_ms)),
        stage=noted["stage"],
        reason=reason,
        message=noted["message"],
        version=noted["processor_version"],
        attempts=_number(held.get(ATTEMPT, "").encode()) or 0,
        omitted_bytes=_number(held.get(PREFIX + "omitted_bytes", "").encode()) or 0,
        key=record.key(),
        value=record.value(),
        headers=list(_original(headers)),
    )


def _original(headers: Iterable[tuple[str, bytes | None]]) -> Iterable[tuple[str, bytes | None]]:
    return ((name, value) for name, value in headers if not name.startswith((PREFIX, REPLAY)))


def _number(value: bytes | None) -> int | None:
    """Reads a number of ours; a producer may have sent a header of the same name, with anything in it."""
    return int(value) if value is not None and value.isdigit() and len(value) < 16 else None


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
