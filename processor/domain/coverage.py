"""Who pays for a leg: nobody, a pool of minutes, credits, or nobody because it should not have happened — and why."""

from typing import Final, Literal

from msgspec import Struct

from processor.domain.pools import CONFERENCE_POOL, PLANS, Entitlement, calling_plan, is_domestic
from processor.domain.tariff import Row
from processor.domain.usage import Leg

Decision = Literal["free", "pool", "credits", "refused"]

PAY_PER_MINUTE_CONFERENCING: Final = "MCOMEETACPEA"

_ZONE_A = (
    "AU AT BE BR BG CA CN HR CZ DK EE FI FR DE GR HK HU IN IE IT JP LU MY MX NL NZ NO PL PT PR RO RU SG SK SI ZA KR ES "
    "SE CH TW TH GB US"
)
ZONE_A: Final = frozenset(_ZONE_A.split())
"""Where conference dial-out is paid by the conferencing pool while it lasts."""

NEVER_POOLED_TYPES: Final = frozenset({"premium", "satellite"})
UK_SHARED_COST: Final = ("+44843", "+44844", "+44845", "+44870", "+44871", "+44872")
UK_PREMIUM: Final = "+449"


class Cover(Struct, frozen=True):
    """The verdict on one leg; `reason` is stamped on its ledger entry."""

    decision: Decision
    reason: str


EMERGENCY: Final = Cover("free", "emergency")
DIRECT_ROUTING: Final = Cover("free", "direct_routing")
INBOUND_TO_USER: Final = Cover("free", "inbound_to_user")
TOLL_INBOUND: Final = Cover("free", "toll_inbound")
CALLING_PLAN: Final = Cover("pool", "calling_plan")
CONFERENCING: Final = Cover("pool", "conferencing")
TOLL_FREE_INBOUND: Final = Cover("credits", "toll_free_inbound")
PAY_PER_MINUTE: Final = Cover("credits", "pay_per_minute_conferencing")
CONFERENCE_DIAL_OUT: Final = Cover("credits", "conference_dial_out")
CONFERENCE_POOL_USED_UP: Final = Cover("credits", "conference_pool_used_up")
PAY_AS_YOU_GO: Final = Cover("credits", "pay_as_you_go")
INTERNATIONAL: Final = Cover("credits", "international")
POOL_USED_UP: Final = Cover("credits", "pool_used_up")
SHARED_COST: Final = Cover("credits", "uk_shared_cost")
NEVER_POOLED: Final = Cover("credits", "never_pooled")
NOT_LICENSED: Final = Cover("refused", "user_not_licensed")
NOT_ALLOWED: Final = Cover("refused", "destination_not_allowed")
UNRATEABLE: Final = Cover("free", "FREECALL")


def cover_leg(leg: Leg) -> Cover:
    """Decides as far as it goes without knowing the destination; `pool` means that the destination decides."""
    if leg.emergency or leg.kind == "dr_emergency_out":
        return EMERGENCY
    if leg.kind.startswith("dr_"):
        return DIRECT_ROUTING
    cover = _inbound(leg) if leg.direction == "inbound" else _outbound(leg)
    if cover.decision == "credits" and not leg.credits_licensed:
        return NOT_LICENSED
    return cover


def allowed(number: str, row: Row) -> bool:
    """Tells whether `number`, which `row` prices, may be called at all."""
    return row.allowed and not (row.direction == "outbound" and number.startswith(UK_PREMIUM))


def entitlement(leg: Leg, row: Row) -> tuple[Entitlement | None, Cover]:
    """Returns the pool that a `pool` verdict may draw on, if any, and who pays for what the pool does not."""
    if leg.number.startswith(UK_SHARED_COST):
        return None, SHARED_COST
    if leg.conference:
        if row.country not in ZONE_A or row.type in NEVER_POOLED_TYPES:
            return None, CONFERENCE_DIAL_OUT
        return CONFERENCE_POOL, CONFERENCE_POOL_USED_UP
    if row.type in NEVER_POOLED_TYPES:
        return None, NEVER_POOLED
    if leg.capability is None or leg.country is None:
        return None, POOL_USED_UP  # without a location there is no pool to look for
    entitled = calling_plan(leg.capability, leg.country, row.country, leg.user_id)
    if entitled is not None:
        return entitled, POOL_USED_UP
    return None, POOL_USED_UP if is_domestic(row.country, leg.country) else INTERNATIONAL


def _inbound(leg: Leg) -> Cover:
    if leg.toll_free:
        return TOLL_FREE_INBOUND
    if leg.conference and leg.capability == PAY_PER_MINUTE_CONFERENCING:
        return PAY_PER_MINUTE
    return TOLL_INBOUND if leg.service_number else INBOUND_TO_USER


def _outbound(leg: Leg) -> Cover:
    if leg.conference:
        return PAY_PER_MINUTE if leg.capability == PAY_PER_MINUTE_CONFERENCING else CONFERENCING
    return CALLING_PLAN if leg.capability in PLANS else PAY_AS_YOU_GO
