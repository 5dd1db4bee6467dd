"""FreeSWITCH: records of mod_json_cdr.

All values of `variables` are strings, by default percent-encoded. `duration` includes ringing, `billsec` does not and
is rounded, `billmsec` is exact. Both legs of a bridged call may be logged. Source: the module and `switch_ivr.c`.
"""

from collections.abc import Iterator
from typing import IO, Final
from urllib.parse import unquote

import msgspec
from msgspec import Struct

from processor.adapters import events, times
from processor.adapters.options import Options
from processor.adapters.outcome import Rejected, RowLeft, RowRejected, Usage
from processor.adapters.parties import Parties, parties, party
from processor.adapters.rows import Row, json_rows
from processor.domain.messages import CallData

VENDOR: Final = "freeswitch"


class Variables(Struct, frozen=True, gc=False):
    """The channel variables that matter; times in microseconds since 1970, 0 for what did not happen."""

    uuid: str
    billmsec: int | None = None
    billsec: int | None = None
    answer_uepoch: int = 0
    end_uepoch: int = 0
    hangup_cause: str | None = None
    accountcode: str | None = None
    user_name: str | None = None
    originating_leg_uuid: str | None = None


class Caller(Struct, frozen=True, gc=False):
    """Numbers of one leg."""

    caller_id_number: str = ""
    destination_number: str = ""


class Originator(Struct, frozen=True, gc=False):
    """The leg that made a switch call out."""

    originator_caller_profiles: list[Caller] = []


class Profile(Caller, frozen=True, gc=False):
    """What the dial plan saw; a leg that another one caused names it."""

    originator: Originator | None = None


class Callflow(Struct, frozen=True, gc=False):
    """One run through the dial plan; the newest is the first, the one that was dialled the last."""

    caller_profile: Profile


class Cdr(Struct, frozen=True, gc=False):
    """A record, one per channel."""

    variables: Variables
    callflow: list[Callflow]


_decoder: Final = msgspec.json.Decoder(Cdr, strict=False)


def rows(stream: IO[bytes]) -> Iterator[Row | Rejected]:
    """Yields the records of files as the module writes them, of arrays and of newline-delimited JSON."""
    return json_rows(stream)


def usage(row: str, options: Options) -> Usage:
    """Converts one record. Raises `RowRejected` and `RowLeft`."""
    cdr = events.read_row(_decoder, row)
    told = cdr.variables
    answered_at = times.epoch_us(told.answer_uepoch, "answer_uepoch")
    if answered_at is None:
        raise RowLeft("not_answered")
    ended_at = times.epoch_us(told.end_uepoch, "end_uepoch")
    if ended_at is None:
        raise RowRejected("time_invalid", "the record has no end_uepoch")
    if not cdr.callflow:
        raise RowRejected("schema_invalid", "the record has no callflow")
    ends = _ends(cdr.callflow[-1].caller_profile, cdr.callflow[0].caller_profile, options)
    connected_ms = _connected_ms(told)
    times.check(answered_at, ended_at, connected_ms)
    data = CallData(
        tenant_id=options.tenant_id,
        call_id=told.originating_leg_uuid or told.uuid,
        leg_id=told.uuid,
        record_kind="final",
        call_type=ends.call_type,
        caller=ends.caller,
        callee=ends.callee,
        number_type=ends.number_type,
        answered_at=answered_at,
        ended_at=ended_at,
        connected_ms=connected_ms,
        user_id=unquote(told.accountcode or told.user_name or "") or ends.user_id,
        user_country=options.region,
        credits_licensed=options.credits_licensed,
        emergency=ends.emergency,
        correlation_id=told.originating_leg_uuid,
        end_reason=told.hangup_cause or None,
    )
    return events.call(VENDOR, told.uuid, data)


def _ends(dialled: Profile, routed: Profile, options: Options) -> Parties:
    """Reads a leg's ends: `dialled` is what arrived at the switch, `routed` what its dial plan made of it.

    A leg that another one caused is usage only where a call from outside was sent on outside: otherwise the causing
    leg's own record is charged for it.
    """
    causes = dialled.originator.originator_caller_profiles if dialled.originator is not None else []
    if not causes:
        goes_out = party(dialled.caller_id_number, options).own
        callee_text = (routed if goes_out else dialled).destination_number
        return parties(dialled.caller_id_number, callee_text, options)
    caller = party(causes[0].caller_id_number, options)
    callee = party(dialled.destination_number, options)
    if caller.own or callee.own:
        raise RowLeft("same_call")
    if callee.number is None:
        raise RowRejected("number_invalid", "the dialled number cannot be read as E.164: is --region right?")
    return Parties("user_out_forwarding", "user", caller.number or "", callee.number, None, False)


def _connected_ms(told: Variables) -> int:
    if told.billmsec is not None and told.billmsec >= 0:
        return told.billmsec
    if told.billsec is not None and told.billsec >= 0:
        return 1000 * told.billsec
    raise RowRejected("schema_invalid", "the record has neither billmsec nor billsec")
