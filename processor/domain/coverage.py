"""Who pays for a leg: nobody, credits, or nobody because it should not have happened — and why."""

from typing import Final, Literal

from msgspec import Struct

from processor.domain.usage import Leg

Decision = Literal["free", "credits", "refused"]

PAY_PER_MINUTE_CONFERENCING: Final = "MCOMEETACPEA"
CALLING_PLANS: Final = frozenset({"MCOPSTN1", "MCOPSTN2", "MCOPSTN5", "MCOPSTN6", "MCOPSTN8"})


class Cover(Struct, frozen=True):
    """The verdict on one leg; `reason` is stamped on its ledger entry."""

    decision: Decision
    reason: str


EMERGENCY: Final = Cover("free", "emergency")
DIRECT_ROUTING: Final = Cover("free", "direct_routing")
INBOUND_TO_USER: Final = Cover("free", "inbound_to_user")
TOLL_INBOUND: Final = Cover("free", "toll_inbound")
TOLL_FREE_INBOUND: Final = Cover("credits", "toll_free_inbound")
PAY_PER_MINUTE: Final = Cover("credits", "pay_per_minute_conferencing")
CONFERENCE_DIAL_OUT: Final = Cover("credits", "conference_dial_out")
PAY_AS_YOU_GO: Final = Cover("credits", "pay_as_you_go")
POOL_USED_UP: Final = Cover("credits", "pool_used_up")
NOT_LICENSED: Final = Cover("refused", "user_not_licensed")
NOT_ALLOWED: Final = Cover("refused", "destination_not_allowed")
UNRATEABLE: Final = Cover("free", "FREECALL")


def cover_leg(leg: Leg) -> Cover:
    """Decides who pays, before any price is known.

    A calling plan without registered licences has an empty minute pool, so credits pay from the first minute.
    """
    if leg.emergency or leg.kind == "dr_emergency_out":
        return EMERGENCY
    if leg.kind.startswith("dr_"):
        return DIRECT_ROUTING
    cover = _inbound(leg) if leg.direction == "inbound" else _outbound(leg)
    if cover.decision == "credits" and not leg.credits_licensed:
        return NOT_LICENSED
    return cover


def _inbound(leg: Leg) -> Cover:
    if leg.toll_free:
        return TOLL_FREE_INBOUND
    if leg.conference and leg.capability == PAY_PER_MINUTE_CONFERENCING:
        return PAY_PER_MINUTE
    return TOLL_INBOUND if leg.service_number else INBOUND_TO_USER


def _outbound(leg: Leg) -> Cover:
    if leg.conference:
        return PAY_PER_MINUTE if leg.capability == PAY_PER_MINUTE_CONFERENCING else CONFERENCE_DIAL_OUT
    return POOL_USED_UP if leg.capability in CALLING_PLANS else PAY_AS_YOU_GO
