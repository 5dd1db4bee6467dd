"""Vendor call records to usage events: pure functions, one module per vendor.

`convert` reads a whole file; `convert_row` one row that you already have, for instance from your own HTTP client:

>>> import io
>>> outcomes = convert("twilio", io.BytesIO(b'{"sid": "CA1", "status": "busy"}'), Options(tenant_id="contoso"))
>>> [outcome.reason for outcome in outcomes]
['not_answered']
"""

from processor.adapters.convert import VENDORS, Vendor, convert, convert_row
from processor.adapters.options import Options, source_of
from processor.adapters.outcome import (
    LEAVE_REASONS,
    REJECT_REASONS,
    Converted,
    LeaveReason,
    LeftOut,
    Outcome,
    Rejected,
    RejectReason,
    Usage,
)

__all__ = [
    "LEAVE_REASONS",
    "REJECT_REASONS",
    "VENDORS",
    "Converted",
    "LeaveReason",
    "LeftOut",
    "Options",
    "Outcome",
    "RejectReason",
    "Rejected",
    "Usage",
    "Vendor",
    "convert",
    "convert_row",
    "source_of",
]
