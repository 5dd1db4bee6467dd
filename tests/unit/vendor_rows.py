"""Short ways to say what a vendor delivered and what became of it."""

import csv
import io
import json
from pathlib import Path
from typing import Any

from processor.adapters import Converted, LeftOut, Options, Outcome, Rejected, Usage, Vendor, convert, convert_row
from processor.contracts import inputs, topics
from processor.domain.messages import CallData, CallUsage, ConferenceData, ConferenceUsage

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "adapters"
OPTIONS = Options(tenant_id="contoso", own=("+18005550199",))


def outcomes(vendor: Vendor, name: str, options: Options = OPTIONS) -> list[Outcome]:
    """Converts a fixture."""
    with (FIXTURES / name).open("rb") as file:
        return list(convert(vendor, file, options))


def outcome(vendor: Vendor, row: dict[str, Any] | list[str] | str, options: Options = OPTIONS) -> Outcome:
    """Converts one row."""
    return convert_row(vendor, json.dumps(row) if isinstance(row, dict) else row, options)


def usage(found: Outcome) -> Usage:
    assert isinstance(found, Converted), found
    return found.usage


def call(found: Outcome) -> CallData:
    """Returns the call that an outcome is, as the worker reads it."""
    event = inputs.decode(topics.USAGE_CALL, usage(found).value)
    assert isinstance(event, CallUsage)
    return event.data


def conference(found: Outcome) -> ConferenceData:
    """Returns the conference leg that an outcome is, as the worker reads it."""
    event = inputs.decode(topics.USAGE_CONFERENCE, usage(found).value)
    assert isinstance(event, ConferenceUsage)
    return event.data


def reason(found: Outcome) -> str:
    """Returns why there is no event."""
    assert isinstance(found, LeftOut | Rejected), found
    return found.reason


def master(text: str) -> list[str]:
    """Cuts a line of Master.csv."""
    return next(csv.reader(io.StringIO(text)))
