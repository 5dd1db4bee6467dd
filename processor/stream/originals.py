"""Finds what an earlier usage event was charged, for its correction: an index on disk of what the ledger says.

The ledger is the record of every charge, and it is kept for longer than anything can be corrected. The index is built
from it when the first correction asks, and from then on from where it ended: whoever sends no corrections pays nothing,
and an index that is lost is read again. Charges of a cycle that is not committed yet are found in the cycle.
"""

import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog
from msgspec import Struct
from rocksdict import AccessType, Options, Rdict, WriteBatch

from processor.contracts import topics
from processor.contracts.inputs import identity
from processor.domain.corrections import Allocation, allocations
from processor.domain.ledger import EntryKind, LotChange
from processor.domain.money import Micros
from processor.stream.reading import read_to_the_end, start_after, topic_id

LATE: Final = timedelta(days=1)
"""How much longer than a leg can be corrected its charge is kept: it may have been recorded early or read late."""

WRITE_BUFFER_BYTES: Final = 16 << 20
REPORT_S: Final = 5.0

log = structlog.get_logger()


class ChargedUsage(Struct, gc=False):
    """What the index reads of `usage` in a ledger entry."""

    decision: str
    pool: str | None = None
    pool_minutes: int = 0
    corrects: str | None = None


class ChargedEntry(Struct, gc=False):
    """What the index reads of a ledger entry."""

    tenant_id: str
    kind: EntryKind
    event_id: str
    event_source: str
    occurred_at: datetime
    amount_micros: Micros
    lots: list[LotChange]
    usage: ChargedUsage | None = None


class _LedgerRecord(Struct, gc=False):
    data: ChargedEntry


decode_entry: Final = msgspec.json.Decoder(_LedgerRecord).decode
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Allocation).decode


class LedgerIndex:
    """Allocations of the charges in `ledger.v1`, by the identity of their event, for the partitions of one worker.

    `config` is librdkafka's, `window` how old a leg may be when it is corrected.
    """

    def __init__(self, directory: Path, config: dict[str, Any], window: timedelta, patience_s: float) -> None:
        self._directory = directory
        self._config = config
        self._kept = window + LATE
        self._patience_s = patience_s
        self._opened: Rdict | None = None

    def catch_up(self, number: int) -> None:
        """Reads what the ledger of a partition has gained since it was last read; blocks until it has."""
        place = (topics.LEDGER, number)
        progress = f"next:{number}".encode()
        stored = self._db.get(progress)
        start = start_after(self._config, place, int(stored) if stored is not None else None, self._kept)
        began = reported = time.monotonic()
        entries = 0
        for records in read_to_the_end(self._config, {place: start}, began + self._patience_s):
            # The position is written with what was read up to it: both or neither survive a crash.
            batch = WriteBatch(raw_mode=True)
            for key, value in _indexed(record.value() for record in records):
                batch.put(key, value)
            batch.put(progress, str(records[-1].offset() + 1).encode())
            self._db.write(batch)
            entries += len(records)
            if time.monotonic() - reported > REPORT_S:
                reported = time.monotonic()
                log.info("reading the ledger for a correction", partition=number, entries=entries)
        if entries:
            log.info("ledger indexed", partition=number, entries=entries, seconds=round(time.monotonic() - began, 3))

    def find(self, source: str, event_id: str) -> Allocation | None:
        """Finds what the ledger said of an event when it was last read; None when it was never charged."""
        found = self._db.get(identity(source, event_id))
        return None if found is None else _decode(found)

    def close(self) -> None:
        """Writes out what is in memory; without it the next start reads a little more of the ledger."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    @property
    def _db(self) -> Rdict:
        if self._opened is None:
            options = Options(raw_mode=True)
            options.create_if_missing(True)
            options.set_write_buffer_size(WRITE_BUFFER_BYTES)
            # Named after the topic it indexes: a topic that was made again has another id.
            directory = self._directory / topic_id(self._config, topics.LEDGER)
            directory.mkdir(parents=True, exist_ok=True)
            kept_s = int(self._kept.total_seconds())
            self._opened = Rdict(str(directory), options, access_type=AccessType.with_ttl(kept_s))
        return self._opened


def allocation_of(record: bytes) -> Allocation:
    """Reads the allocation out of the ledger record of a charge or a refund."""
    _, _, allocation = next(allocations([decode_entry(record).data]))
    return allocation


def _indexed(records: Iterable[bytes]) -> Iterable[tuple[bytes, bytes]]:
    for record in records:
        for source, event_id, allocation in allocations([decode_entry(record).data]):
            yield identity(source, event_id), _encode(allocation)
