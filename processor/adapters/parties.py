"""Who called whom, as far as the two numbers of a PBX's record tell."""

from typing import NamedTuple

from processor.adapters import numbers
from processor.adapters.options import Options
from processor.adapters.outcome import RowLeft, RowRejected
from processor.domain.messages import CallType, NumberType


class Party(NamedTuple):
    """One end of a call: a number of the public network, or None for an extension or a withheld number."""

    text: str
    number: str | None
    own: bool


class Parties(NamedTuple):
    """What the two ends make of a call."""

    call_type: CallType
    number_type: NumberType
    caller: str
    callee: str
    user_id: str | None
    emergency: bool


def party(text: str, options: Options) -> Party:
    """Reads one end; it is the tenant's own when it is inside the switch or begins with one of `options.own`."""
    number = numbers.e164(text, options.region)
    own = number.startswith(options.own) if number is not None else numbers.is_internal(text)
    return Party(text, number, own)


def parties(caller_text: str, callee_text: str, options: Options) -> Parties:
    """Tells direction and type of a call between `caller` and `callee`.

    Raises `RowLeft` for a call inside the switch, `RowRejected` when the dialled number cannot be read
    (`number_invalid`) and when both ends are public and neither is the tenant's (`direction_unknown`).
    """
    caller = party(caller_text, options)
    if numbers.is_emergency(callee_text, options.region):
        return Parties("user_out", "user", caller.number or "", callee_text, _extension(caller), True)
    callee = party(callee_text, options)
    if callee.number is None and not callee.own:
        raise RowRejected("number_invalid", "the dialled number cannot be read as E.164: is --region right?")
    if caller.own and callee.own:
        raise RowLeft("not_pstn")
    if callee.own:
        free = callee.number is not None and numbers.is_toll_free(callee.number)
        return Parties(
            "ucap_in" if free else "user_in",  # a toll-free number is a service: nobody pays to reach a person
            "service_toll_free" if free else "user",
            caller.number or "",
            callee.number or "",
            _extension(callee),
            False,
        )
    if caller.number is not None and not caller.own:
        raise RowRejected(
            "direction_unknown", "both numbers are public: name the prefixes of your own with --own, as in --own +1425"
        )
    return Parties("user_out", "user", caller.number or "", callee.number or "", _extension(caller), False)


def _extension(end: Party) -> str | None:
    return end.text if end.own and end.number is None else None
