"""Carries the W3C trace context of what caused a recharge over to its command.

The meter opens no spans of its own: a cycle works on thousands of events of many traces. It passes on the context of
the one event that made the balance fall to the trigger, as Kafka headers; a payment worker links its span to it.
"""

import re
from collections.abc import Iterable
from typing import Final

import msgspec
from confluent_kafka import Message as Record
from msgspec import Struct

from processor.stream.dead_letters import KafkaHeaders

TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
"""Version, trace id, parent id and flags, as https://www.w3.org/TR/trace-context/ has them."""

TRACESTATE: Final = re.compile(r"[a-z0-9_\-*/@]+=[\x20-\x7e]{1,256}(?:,[a-z0-9_\-*/@]+=[\x20-\x7e]{1,256}){0,31}")
TRACESTATE_MAX: Final = 512


class _Attributes(Struct):
    """CloudEvents' Distributed Tracing extension, in an event of any type."""

    traceparent: str = ""
    tracestate: str = ""


_attributes_of = msgspec.json.Decoder(_Attributes).decode


def link(record: Record) -> KafkaHeaders | None:
    """Returns the headers that link to the trace of this record, None when it carries no valid context.

    The record's own headers come first, then the event's attributes. What is not well formed is left out, as the
    specification asks for.
    """
    found = _from_headers(record.headers()) or _from_value(record.value())
    if TRACEPARENT.fullmatch(found.traceparent) is None:
        return None
    headers: KafkaHeaders = [("traceparent", found.traceparent.encode())]
    if len(found.tracestate) <= TRACESTATE_MAX and TRACESTATE.fullmatch(found.tracestate):
        headers.append(("tracestate", found.tracestate.encode()))
    return headers


def _from_headers(headers: Iterable[tuple[str, bytes | None]] | None) -> _Attributes | None:
    found = {name.removeprefix("ce_"): (value or b"").decode("latin-1") for name, value in headers or ()}
    if "traceparent" not in found:
        return None
    return _Attributes(found["traceparent"], found.get("tracestate", ""))


def _from_value(value: bytes | None) -> _Attributes:
    try:
        return _attributes_of(value or b"{}")
    except msgspec.DecodeError:  # attributes of another type, or binary mode: no context
        return _Attributes()
