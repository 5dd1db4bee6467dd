"""A program of somebody who uses the package as a library: it is type-checked against the installed wheel, and run."""

import io
from datetime import UTC, datetime
from typing import assert_type

from processor.adapters import Converted, LeaveReason, LeftOut, Options, Rejected, RejectReason, Usage, convert
from processor.contracts import decks, topics
from processor.contracts.inputs import decode
from processor.domain.account import Account
from processor.domain.errors import InputRejected, Reason
from processor.domain.messages import CallUsage, Message
from processor.domain.policy import Policy
from processor.domain.tariff import Tariff
from processor.testing import Driver, Input, Output

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
    convert("acme", io.BytesIO(), Options(tenant_id="contoso"))  # type: ignore[arg-type]
    Driver("deck", now=0)  # type: ignore[arg-type]


event = decode(topics.USAGE_CALL, EVENT)
assert_type(event, Message)
assert isinstance(event, CallUsage)
assert_type(event.data.connected_ms, int)
assert event.data.connected_ms == 60_000
assert refused(b"{}") == "schema_invalid"

for outcome in convert("twilio", io.BytesIO(b'{"sid": "CA1", "status": "busy"}'), Options(tenant_id="contoso")):
    match outcome:
        case Converted(_, usage):
            assert_type(usage, Usage)
        case LeftOut(_, left):
            assert_type(left, LeaveReason)
            assert left == "not_answered"
        case Rejected(_, refusal):
            assert_type(refusal, RejectReason)

deck = decks.parse("prefix,destination,type,country,rate_per_min\n44,United Kingdom,fixed,GB,0.6\n", "carrier")
meter = Driver(Tariff([deck], Policy()), now=datetime(2026, 3, 2, 9, 30, tzinfo=UTC))
left_behind = meter.process(
    Input(topics.USAGE_CALL, "contoso", EVENT.replace(b'"data": {', b'"data": {"credits_licensed": true,'))
)
assert_type(left_behind, list[Output])
account = meter.account("contoso")
assert_type(account, Account | None)
assert account is not None
assert account.balance_micros == -600_000
