"""Twilio: Call resources of the REST API and ConferenceParticipant resources of Voice Insights.

A participant's leg is a Call too: convert calls or participants of one conference, not both.
Sources: twilio.com/docs/voice/api/call-resource, …/voice-insights/api/conference/participant-summary-resource.
"""

from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import IO, Final

import msgspec
from msgspec import Struct

from processor.adapters import events, numbers, times
from processor.adapters.options import Options
from processor.adapters.outcome import Rejected, RowLeft, RowRejected, Usage
from processor.adapters.rows import Row, json_rows
from processor.domain.messages import CallData, CallType, ConferenceData, LegKind, NumberType
from processor.domain.money import Micros
from processor.domain.usage import INBOUND_CALLS

VENDOR: Final = "twilio"
LISTS: Final = frozenset({"calls", "participants"})

CALLS: Final[dict[str, CallType]] = {
    "inbound": "ucap_in",
    "outbound-api": "ucap_out",
    "outbound-dial": "ucap_out",
    "trunking-originating": "user_in",
    "trunking-terminating": "user_out",
}
"""Programs answer and make calls, so they are those of a voice app; trunks carry calls of people."""

NEVER_ANSWERED: Final = frozenset({"busy", "failed", "fail", "no-answer", "noanswer", "canceled"})
UNFINISHED: Final = frozenset({"queued", "initiated", "ringing", "in-progress"})

PAY_PER_MINUTE: Final = "MCOMEETACPEA"
"""Twilio sells conferencing by the minute and has no minute pools."""


class Resource(Struct, frozen=True, gc=False):
    """A Call or a ConferenceParticipant; the latter has a `participant_sid`."""

    sid: str | None = None
    parent_call_sid: str | None = None
    account_sid: str | None = None
    status: str | None = None
    direction: str | None = None
    start_time: str | None = None
    end_time: str | None = None
    duration: int | str | None = None
    price: str | None = None
    price_unit: str | None = None
    from_: str | None = msgspec.field(default=None, name="from")
    to: str | None = None

    participant_sid: str | None = None
    conference_sid: str | None = None
    call_sid: str | None = None
    call_direction: str | None = None
    call_status: str | None = None
    call_type: str | None = None
    processing_state: str | None = None
    join_time: str | None = None
    leave_time: str | None = None
    duration_seconds: int | None = None


_decoder: Final = msgspec.json.Decoder(Resource)


def rows(stream: IO[bytes]) -> Iterator[Row | Rejected]:
    """Yields the resources of lists as the API answers, of arrays, or of newline-delimited resources or lists."""
    return json_rows(stream, LISTS)


def usage(row: str, options: Options) -> Usage:
    """Converts one resource. Raises `RowRejected` and `RowLeft`."""
    resource = events.read_row(_decoder, row)
    if resource.participant_sid:
        return _participant(resource, resource.participant_sid, options)
    return _call(resource, events.required(resource.sid, "sid"), options)


def _call(resource: Resource, sid: str, options: Options) -> Usage:
    _answered(resource.status)
    call_type = CALLS.get(resource.direction or "")
    if call_type is None:
        raise RowRejected("unknown_call_type", "this direction is not known")
    inbound = call_type in INBOUND_CALLS
    caller, callee, emergency = _ends(resource, inbound, options)
    kind: NumberType = "service_toll" if call_type.startswith("ucap") else "user"
    if inbound and numbers.is_toll_free(callee):
        kind = "service_toll_free"
    started_at = times.rfc2822(resource.start_time, "start_time")
    ended_at = times.rfc2822(resource.end_time, "end_time")
    seconds = _seconds(resource.duration)
    if started_at is None or ended_at is None or seconds is None:
        raise RowRejected("schema_invalid", "a completed call has start_time, end_time and duration")
    connected_ms = 1000 * seconds
    data = CallData(
        tenant_id=options.tenant_id,
        call_id=resource.parent_call_sid or sid,
        leg_id=sid,
        record_kind="final",
        call_type=call_type,
        caller=caller,
        callee=callee,
        number_type=kind,
        answered_at=times.answered(started_at, ended_at, connected_ms),
        ended_at=ended_at,
        connected_ms=connected_ms,
        user_country=options.region,
        credits_licensed=options.credits_licensed,
        emergency=emergency,
        correlation_id=resource.parent_call_sid or None,
    )
    return events.call(VENDOR, sid, data, _charge(resource))


def _participant(resource: Resource, sid: str, options: Options) -> Usage:
    # The summary grows while the call lasts, and its id stays: only the complete one may be charged.
    if resource.processing_state not in (None, "complete", "timeout"):
        raise RowLeft("unfinished")
    if resource.call_type in ("client", "sip"):
        raise RowLeft("not_pstn")
    _answered(resource.call_status)
    if resource.call_direction not in ("inbound", "outbound"):
        raise RowRejected("unknown_call_type", "this direction is not known")
    inbound = resource.call_direction == "inbound"
    caller, callee, _ = _ends(resource, inbound, options)
    leg_kind: LegKind = "dial_out"
    if inbound:
        leg_kind = "dial_in_toll_free" if numbers.is_toll_free(callee) else "dial_in_toll"
    joined_at = times.iso(resource.join_time, "join_time")
    left_at = times.iso(resource.leave_time, "leave_time")
    if joined_at is None or left_at is None or resource.duration_seconds is None or resource.duration_seconds < 0:
        raise RowLeft("not_answered")
    connected_ms = 1000 * resource.duration_seconds
    times.check(joined_at, left_at, connected_ms)
    data = ConferenceData(
        tenant_id=options.tenant_id,
        conference_id=events.required(resource.conference_sid, "conference_sid"),
        leg_id=sid,
        record_kind="final",
        leg_kind=leg_kind,
        remote_number=caller if inbound else callee,
        bridge_number=(callee if inbound else caller) or None,
        joined_at=joined_at,
        left_at=left_at,
        connected_ms=connected_ms,
        organizer_id=events.required(resource.account_sid, "account_sid, which pays"),
        organizer_country=options.region,
        capability=PAY_PER_MINUTE,
        credits_licensed=options.credits_licensed,
    )
    return events.conference(VENDOR, sid, data)


def _answered(status: str | None) -> None:
    if status in NEVER_ANSWERED:
        raise RowLeft("not_answered")
    if status in UNFINISHED:
        raise RowLeft("unfinished")


def _ends(resource: Resource, inbound: bool, options: Options) -> tuple[str, str, bool]:
    """Reads both ends: the priced one must be a number; clients and SIP addresses are not of the public network."""
    caller, callee = resource.from_ or "", resource.to or ""
    if not inbound and numbers.is_emergency(callee, options.region):
        return numbers.e164(caller, options.region) or "", callee, True
    called = numbers.e164(callee, options.region)
    far = caller if inbound else callee
    if numbers.is_address(far):
        raise RowLeft("not_pstn")
    if called is None:
        raise RowRejected("number_invalid", "the called number is not E.164")
    return numbers.e164(caller, options.region) or "", called, False


def _seconds(duration: int | str | None) -> int | None:
    if isinstance(duration, str):
        if not duration:
            return None
        if not (duration.isascii() and duration.isdecimal() and len(duration) <= 9):
            raise RowRejected("schema_invalid", "duration is no number of seconds")
        return int(duration)
    if duration is not None and duration < 0:
        raise RowRejected("schema_invalid", "duration is negative")
    return duration


def _charge(resource: Resource) -> tuple[Micros, str] | None:
    """Prices are negative strings, and null until Twilio has priced the call or when it never does."""
    if not resource.price or not resource.price_unit:
        return None
    try:
        return events.money(Decimal(resource.price), "price"), resource.price_unit
    except InvalidOperation:
        raise RowRejected("schema_invalid", "price is no amount") from None
