"""A leg: one billable PSTN connection, whatever event reported it."""

from datetime import datetime
from typing import Final, Literal

from msgspec import Struct

from processor.domain.errors import InputRejected
from processor.domain.messages import CallData, CallUsage, ConferenceData, ConferenceUsage
from processor.domain.policy import Policy

Direction = Literal["outbound", "inbound"]


TOLERANCE_MS: Final = 1000
"""How far a stated duration may differ from end minus start: vendors round both."""

INBOUND_CALLS: Final = frozenset({"user_in", "ucap_in", "dr_in", "dr_in_ucap"})
INBOUND_CONFERENCE_LEGS: Final = frozenset({"dial_in_toll", "dial_in_toll_free"})


class Leg(Struct, gc=False):
    """What coverage and rating need to know about a leg.

    `number` is the one that is priced: the destination of an outbound leg, the called service number of an inbound
    one. `seconds` is the connected time rounded up; `country` the payer's usage location.
    """

    kind: str
    direction: Direction
    number: str
    started_at: datetime
    ended_at: datetime
    seconds: int
    credits_licensed: bool
    capability: str | None
    country: str | None
    emergency: bool
    service_number: bool
    toll_free: bool
    conference: bool
    user_id: str | None


def leg_of(message: CallUsage | ConferenceUsage, policy: Policy, now: datetime) -> Leg:
    """Reads the leg out of a usage event, final or corrected.

    Raises `InputRejected`: `inconsistent_times`, `too_old`, `in_future`.
    """
    data = message.data
    leg = _call_leg(data) if isinstance(data, CallData) else _conference_leg(data)
    lasted = leg.ended_at - leg.started_at
    apart_ms = lasted.days * 86_400_000 + lasted.seconds * 1000 + lasted.microseconds // 1000 - data.connected_ms
    if not -TOLERANCE_MS <= apart_ms <= TOLERANCE_MS:
        raise InputRejected("inconsistent_times", "the duration differs from the end minus the start by more than 1 s")
    if leg.started_at < now - policy.deduplication and (
        data.record_kind == "final" or leg.started_at < now - policy.corrections
    ):
        raise InputRejected("too_old", "the leg started too long ago to be charged for the first time, or corrected")
    if leg.ended_at > now + policy.max_future:
        ahead_s = policy.max_future.total_seconds()
        raise InputRejected("in_future", f"the leg ended more than {ahead_s:.0f} s in the future")
    return leg


def _call_leg(data: CallData) -> Leg:
    return Leg(
        data.call_type,
        "inbound" if data.call_type in INBOUND_CALLS else "outbound",
        data.callee,
        data.answered_at,
        data.ended_at,
        -(-data.connected_ms // 1000),
        data.credits_licensed,
        data.capability,
        data.user_country,
        data.emergency,
        data.number_type != "user",
        data.number_type == "service_toll_free",
        False,
        data.user_id,
    )


def _conference_leg(data: ConferenceData) -> Leg:
    inbound = data.leg_kind in INBOUND_CONFERENCE_LEGS
    return Leg(
        data.leg_kind,
        "inbound" if inbound else "outbound",
        (data.bridge_number or "") if inbound else data.remote_number,
        data.joined_at,
        data.left_at,
        -(-data.connected_ms // 1000),
        data.credits_licensed,
        data.capability,
        data.organizer_country,
        False,
        inbound,
        data.leg_kind == "dial_in_toll_free",
        True,
        None,
    )
