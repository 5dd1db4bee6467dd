"""Usage events out of what an adapter read, checked by the worker's own decoder."""

from decimal import Decimal, InvalidOperation
from typing import Final, TypeVar

import msgspec

from processor.adapters.options import Options, source_of
from processor.adapters.outcome import RowRejected, Usage
from processor.adapters.times import DAY_MS
from processor.contracts import topics
from processor.contracts.inputs import decode
from processor.domain.errors import InputRejected
from processor.domain.messages import CallData, CallUsage, ConferenceData, ConferenceUsage
from processor.domain.money import MAX_MICROS, MICROS_PER_UNIT, Micros

_encode: Final = msgspec.json.Encoder().encode
Data = TypeVar("Data", CallData, ConferenceData)
Row = TypeVar("Row")


def call(vendor: str, event_id: str, data: CallData, charge: tuple[Micros, str] | None = None) -> Usage:
    """Wraps a call leg. The same row gives the same bytes, so a repetition is dropped by id. Raises `RowRejected`."""
    event = CallUsage(
        specversion="1.0",
        id=event_id,
        source=source_of(vendor, data.tenant_id),
        subject=data.tenant_id,
        time=data.ended_at,
        data=data,
    )
    return _usage(topics.USAGE_CALL, event, data.connected_ms, charge)


def conference(vendor: str, event_id: str, data: ConferenceData, charge: tuple[Micros, str] | None = None) -> Usage:
    """Wraps a conference leg, like `call`."""
    event = ConferenceUsage(
        specversion="1.0",
        id=event_id,
        source=source_of(vendor, data.tenant_id),
        subject=data.tenant_id,
        time=data.left_at,
        data=data,
    )
    return _usage(topics.USAGE_CONFERENCE, event, data.connected_ms, charge)


def _usage(
    topic: str, event: CallUsage | ConferenceUsage, connected_ms: int, charge: tuple[Micros, str] | None
) -> Usage:
    try:
        value = _encode(event)
        decode(topic, value)  # 4 µs per row buy that no event is ever parked as undecodable
    except UnicodeError:
        raise RowRejected("schema_invalid", "a field is not UTF-8") from None
    except InputRejected as rejected:
        raise RowRejected("schema_invalid", f"the event would not be accepted: {rejected.message}") from None
    micros, currency = charge or (None, None)
    return Usage(
        topic=topic,
        event_id=event.id,
        value=value,
        over_a_day=connected_ms > DAY_MS,
        vendor_charge_micros=micros,
        vendor_currency=currency,
    )


def money(amount: Decimal, what: str) -> Micros:
    """Turns an exact amount of the major unit into micros, rounding half up what is finer than a micro.

    `amount` must come from the record's text, never through a float. Raises `RowRejected`.
    """
    try:
        micros = int((abs(amount) * MICROS_PER_UNIT + Decimal("0.5")).to_integral_value("ROUND_FLOOR"))
    except (InvalidOperation, OverflowError, ValueError):
        raise RowRejected("schema_invalid", f"{what} is no amount") from None
    if micros > MAX_MICROS:
        raise RowRejected("schema_invalid", f"{what} is too large")
    return micros


def read_row(decoder: "msgspec.json.Decoder[Row]", row: str) -> Row:
    """Decodes a row. Raises `RowRejected`: `not_json`, `schema_invalid` with the place and without the value."""
    try:
        return decoder.decode(row)
    except msgspec.ValidationError as error:
        raise RowRejected("schema_invalid", str(error)) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise RowRejected("not_json", "the row is not JSON in UTF-8") from None


def required(value: "str | None", what: str) -> str:
    """Returns a text that an event cannot do without. Raises `RowRejected`."""
    if not value:
        raise RowRejected("schema_invalid", f"the row has no {what}")
    return value


def licensed(options: Options, capability: str | None) -> bool:
    """Tells whether the payer has the credits licence: a row paid by credits proves it."""
    return options.credits_licensed or capability == "MCOPSTNPP"
