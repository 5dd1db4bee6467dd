"""Bytes of an input record to a typed message; the only place where a record can be found undecodable."""

import re
from collections.abc import Callable, Iterable
from typing import Final

import msgspec
from xxhash import xxh3_128_digest

from processor.contracts import topics
from processor.domain.errors import InputRejected
from processor.domain.messages import (
    Adjusted,
    AutopaySet,
    CallUsage,
    ConferenceUsage,
    Funded,
    LicencesSet,
    Message,
    RechargeDecided,
    RechargeReset,
)

Headers = Iterable[tuple[str, bytes | None]] | None
HeadersOf = Callable[[], Headers]

MAX_RECORD_BYTES: Final = 65_536
"""A hundred times an ordinary event; anything larger is a fault at the sender."""

COMMANDS: Final = (Funded, AutopaySet, LicencesSet, Adjusted, RechargeReset)

ACCEPTED: Final[dict[str, tuple[type[Message], ...]]] = {
    topics.USAGE_CALL: (CallUsage,),
    topics.USAGE_CONFERENCE: (ConferenceUsage,),
    topics.ACCOUNT_COMMANDS: COMMANDS,
    topics.RECHARGE_RESULTS: (RechargeDecided,),
    topics.USAGE_REROUTED: (CallUsage, ConferenceUsage, *COMMANDS, RechargeDecided),
}
"""Which messages a topic may carry: rights are per topic, so a platform that writes usage cannot fund an account."""

_decoder: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)
_decode: Callable[[bytes], Message] = _decoder.decode
_VALUES = re.compile(r"'.*'", re.DOTALL)


def decode(topic: str, value: bytes | None, headers: Headers | HeadersOf = None) -> Message:
    """Decodes a CloudEvent in structured or binary mode.

    `headers` may be a function: it is asked only where the value alone is no event. Raises `InputRejected`:
    `too_large`, `not_json`, `unknown_type`, `schema_invalid`.
    """
    if value is None:
        raise InputRejected("not_json", "the record has no value")
    if len(value) > MAX_RECORD_BYTES:
        raise InputRejected("too_large", f"the record has more than {MAX_RECORD_BYTES} bytes")
    try:
        message = _decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as structured:
        attributes = _binary_attributes(headers() if callable(headers) else headers)
        if not attributes:
            raise _rejection(value, structured) from None
        message = _decode_binary(attributes, value)
    if type(message) not in ACCEPTED[topic]:
        raise InputRejected("unknown_type", "this type of event is not accepted on this topic")
    return message


def identity(source: str, event_id: str) -> bytes:
    """Hashes what CloudEvents calls the identity of an event to 16 bytes; a retry has the same one."""
    return xxh3_128_digest(f"{len(source)}:{source}{event_id}".encode())


def _binary_attributes(headers: Headers) -> dict[str, str]:
    """Reads the `ce_` headers of CloudEvents' binary mode."""
    found = {}
    for name, value in headers or ():
        if name.startswith("ce_") and value is not None:
            found[name[3:]] = value.decode("utf-8", "replace")
    return found


def _decode_binary(attributes: dict[str, str], value: bytes) -> Message:
    try:
        envelope = msgspec.json.encode({**attributes, "data": msgspec.json.decode(value)})
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise InputRejected("not_json", "the data is not JSON") from None
    try:
        return _decode(envelope)
    except msgspec.DecodeError as error:
        raise _rejection(envelope, error) from None


def _rejection(value: bytes, error: Exception) -> InputRejected:
    """Explains why a record could not be decoded, without repeating any of its values."""
    if not isinstance(error, msgspec.ValidationError):
        return InputRejected("not_json", "the record is not JSON, not UTF-8 or nested too deeply")
    text = _VALUES.sub("…", str(error))
    try:
        document = msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return InputRejected("not_json", "the record is not JSON, not UTF-8 or nested too deeply")
    if isinstance(document, dict) and isinstance(document.get("type"), str) and text.endswith("`$.type`"):
        return InputRejected("unknown_type", "no message of this type is known")
    return InputRejected("schema_invalid", text)
