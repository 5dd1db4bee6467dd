"""The ledger as CSV, streamed: one header row, one row per entry."""

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any, Final

from processor.console.queries import Document

COLUMNS: Final = (
    "entry_id",
    "occurred_at",
    "recorded_at",
    "kind",
    "amount_micros",
    "balance_micros",
    "currency",
    "flags",
    "decision",
    "reason",
    "country",
    "destination",
    "billed_seconds",
    "rate_micros_per_min",
    "connect_fee_micros",
    "pool",
    "pool_minutes",
    "deck",
    "event_id",
    "event_source",
    "call_type",
    "leg_kind",
    "prefix",
    "connected_seconds",
)
"""What was added later is at the end, so that nobody's column numbers change."""


def csv_lines(entries: Iterable[Document]) -> Iterator[str]:
    """Writes entries as CSV; a cell that a spreadsheet would take for a formula is quoted as text."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for entry in entries:
        flat = {**(entry.get("usage") or {}), **entry, "flags": " ".join(entry.get("flags") or [])}
        writer.writerow([_cell(flat.get(column)) for column in COLUMNS])
        if buffer.tell() > 16_384:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
