"""A program of somebody who uses the package as a library: it is type-checked against the installed wheel, and run."""

from typing import assert_type

from processor.contracts import topics
from processor.contracts.inputs import decode
from processor.domain.errors import InputRejected, Reason
from processor.domain.messages import CallUsage, Message

EVENT = b"""{"specversion": "1.0", "id": "e-1", "source": "/sbc", "type": "telephony.call.v1", "data": {
  "tenant_id": "contoso", "call_id": "c", "leg_id": "a", "record_kind": "final", "call_type": "user_out",
  "caller": "", "callee": "+442079460018", "number_type": "user", "connected_ms": 60000,
  "answered_at": "2026-03-02T09:12:03Z", "ended_at": "2026-03-02T09:13:03Z"}}"""


def refused(value: bytes) -> Reason | None:
    """Tells why the meter would not take a call event."""
    try:
        decode(topics.USAGE_CALL, value)
    except InputRejected as rejected:
        assert_type(rejected.reason, Reason)
        return rejected.reason
    return None


def wrong(event: CallUsage) -> None:
    """Never called: each line is one that a type checker must refuse."""
    event.data.talk_time  # type: ignore[attr-defined]  # noqa: B018
    decode(topics.USAGE_CALL, "text")  # type: ignore[arg-type]


event = decode(topics.USAGE_CALL, EVENT)
assert_type(event, Message)
assert isinstance(event, CallUsage)
assert_type(event.data.connected_ms, int)
assert event.data.connected_ms == 60_000
assert refused(b"{}") == "schema_invalid"
