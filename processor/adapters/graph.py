"""Microsoft Graph: `pstnCallLogRow` and `directRoutingLogRow` of the call records API.

Pulls overlap, as the range of `getPstnCalls` includes both its ends; the row's `id` makes repetitions fall out.
Sources: learn.microsoft.com/graph/api/resources/callrecords-pstncalllogrow and -directroutinglogrow.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import IO, Final, get_args

import msgspec
from msgspec import Struct

from processor.adapters import events, numbers, times
from processor.adapters.options import Options
from processor.adapters.outcome import Rejected, RowLeft, RowRejected, Usage
from processor.adapters.rows import Row, json_rows
from processor.domain.messages import CallData, CallType, ConferenceData, LegKind, NumberType
from processor.domain.money import Micros
from processor.domain.usage import INBOUND_CALLS

VENDOR: Final = "graph"
LISTS: Final = frozenset({"value"})

CONFERENCE_LEGS: Final = frozenset({"conf_in", "conf_out"})
CALLS: Final[dict[str, CallType]] = {name: name for name in get_args(CallType)} | {
    "ByotIn": "dr_in",
    "ByotOut": "dr_out",
    "ByotInUcap": "dr_in_ucap",
    "ByotOutUcap": "dr_out_ucap",
    "ByotOutUserConf": "dr_out_user_conf",
    "ByotOutUserForwarding": "dr_out_user_forwarding",
    "ByotOutUserTransfer": "dr_out_user_transfer",
}
"""Call types that are legs of calls. The API spells those of direct routing in its own way: "bring your own trunk"."""

FREE_BY_FAULT: Final = "FREECALL"
"""A fault kept the vendor from pricing the call: it is free by the vendor's own rule."""

_GOVERNMENT: Final = "_GOV"


class LogRow(Struct, rename="camel", frozen=True, gc=False):
    """A row of either log. Only `id` and `callType` are always there; rows of before 2023 lack the last PSTN fields."""

    id: str
    call_type: str
    caller_number: str | None = None
    callee_number: str | None = None
    start_date_time: str | None = None
    end_date_time: str | None = None
    duration: int | None = None
    user_id: str | None = None

    call_id: str | None = None
    conference_id: str | None = None
    usage_country_code: str | None = None
    tenant_country_code: str | None = None
    license_capability: str | None = None
    inventory_type: str | None = None
    charge: Decimal | None = None
    connection_charge: Decimal | None = None
    currency: str | None = None
    call_duration_source: str | None = None

    correlation_id: str | None = None
    successful_call: bool | None = None


_decoder: Final = msgspec.json.Decoder(LogRow)


def rows(stream: IO[bytes]) -> Iterator[Row | Rejected]:
    """Yields the rows of pages as the API answers, of arrays of rows, or of newline-delimited rows or pages."""
    return json_rows(stream, LISTS)


def usage(row: str, options: Options) -> Usage:
    """Converts one row. Raises `RowRejected` and `RowLeft`."""
    log = events.read_row(_decoder, row)
    if log.call_type in CONFERENCE_LEGS:
        return _conference(log, options)
    call_type = CALLS.get(log.call_type)
    if call_type is None:
        raise RowRejected("unknown_call_type", "this call type is not known")
    return _call(log, call_type, options)


def _call(log: LogRow, call_type: CallType, options: Options) -> Usage:
    direct = call_type.startswith("dr_")
    # Failed attempts are rows of direct routing: their end is missing or lies in the year 1.
    if log.successful_call is False:
        raise RowLeft("not_answered")
    _refuse_free(log)
    region = _region(log, options)
    inbound = call_type in INBOUND_CALLS
    caller, callee = log.caller_number or "", log.callee_number or ""
    for_help = not inbound and numbers.is_emergency(callee, region)
    called = numbers.e164(callee, region)
    kind = _number_type(log, call_type, called if inbound else None)
    # A number that prices the leg must be right. Others may be withheld, masked or an SBC's own text.
    if called is None and not direct and not for_help and not (inbound and kind != "service_toll_free"):
        raise RowRejected("number_invalid", "the called number is not E.164")
    start, end, connected_ms = _times(log)
    data = CallData(
        tenant_id=options.tenant_id,
        call_id=log.call_id or log.correlation_id or log.id,  # not unique: the legs of a call share it
        leg_id=log.id,
        record_kind="final",
        call_type=call_type,
        caller=numbers.e164(caller, region) or "",
        callee=called or (callee if for_help else ""),
        number_type=kind,
        answered_at=start,
        ended_at=end,
        connected_ms=connected_ms,
        user_id=log.user_id or None,
        user_country=log.usage_country_code or log.tenant_country_code or None,
        capability=log.license_capability or None,
        credits_licensed=events.licensed(options, log.license_capability),
        emergency=for_help or call_type == "dr_emergency_out",
        correlation_id=log.correlation_id or log.conference_id or None,
    )
    return events.call(VENDOR, log.id, data, _charge(log))


def _conference(log: LogRow, options: Options) -> Usage:
    _refuse_free(log)
    region = _region(log, options)
    inbound = log.call_type == "conf_in"
    caller, callee = (numbers.e164(text or "", region) for text in (log.caller_number, log.callee_number))
    if callee is None:
        raise RowRejected("number_invalid", "the called number is not E.164")
    leg_kind: LegKind = "dial_out"
    if inbound:
        leg_kind = "dial_in_toll_free" if _toll_free(log, callee) else "dial_in_toll"
    start, end, connected_ms = _times(log)
    data = ConferenceData(
        tenant_id=options.tenant_id,
        conference_id=log.conference_id or log.call_id or log.id,
        leg_id=log.id,
        record_kind="final",
        leg_kind=leg_kind,
        remote_number=(caller or "") if inbound else callee,
        bridge_number=callee if inbound else caller,
        joined_at=start,
        left_at=end,
        connected_ms=connected_ms,
        organizer_id=events.required(log.user_id, "userId, the organizer who pays"),
        organizer_country=region,
        # Government clouds sell the same licence under another name.
        capability=events.required(log.license_capability, "licenseCapability").removesuffix(_GOVERNMENT),
        credits_licensed=events.licensed(options, log.license_capability),
    )
    return events.conference(VENDOR, log.id, data, _charge(log))


def _refuse_free(log: LogRow) -> None:
    if log.license_capability == FREE_BY_FAULT:
        raise RowLeft("freecall")


def _region(log: LogRow, options: Options) -> str:
    return log.usage_country_code or log.tenant_country_code or options.region


def _number_type(log: LogRow, call_type: CallType, called: str | None) -> NumberType:
    if _toll_free(log, called):
        return "service_toll_free"
    return "service_toll" if "ucap" in call_type else "user"


def _toll_free(log: LogRow, called: str | None) -> bool:
    """The inventory type's values are an open set, so the number plan has a say too."""
    return "free" in (log.inventory_type or "").lower() or (called is not None and numbers.is_toll_free(called))


def _times(log: LogRow) -> tuple[datetime, datetime, int]:
    start = times.iso(log.start_date_time, "startDateTime")
    end = times.iso(log.end_date_time, "endDateTime")
    if start is None or log.duration is None or log.duration < 0:
        raise RowRejected("schema_invalid", "the row has no startDateTime or no duration")
    if end is None:
        raise RowRejected("time_invalid", "the call was connected but has no endDateTime")
    connected_ms = log.duration * 1000
    if log.call_duration_source == "operator":
        # The operator has measured with its own clock: its duration is what counts, the start chooses the rate.
        try:
            return start, start + timedelta(milliseconds=connected_ms), connected_ms
        except OverflowError:
            raise RowRejected("time_invalid", "the duration is out of range") from None
    times.check(start, end, connected_ms)
    return start, end, connected_ms


def _charge(log: LogRow) -> tuple[Micros, str] | None:
    if log.charge is None or not log.currency:
        return None
    fee = events.money(log.connection_charge, "connectionCharge") if log.connection_charge is not None else 0
    return events.money(log.charge, "charge") + fee, log.currency
