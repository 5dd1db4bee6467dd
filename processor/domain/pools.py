"""Minutes that licences bring along: pools per plan, place and calendar month, used up before credits pay.

A pool is named after what fills it: `MCOPSTN1/DE`, `MCOPSTN2/US` with `MCOPSTN2/US/international` beside it,
`MCOMEETADD` for conference dial-out, and `MCOPSTN8/US/<user>` where every user has minutes of their own. Its month is
the one, in UTC, in which the leg began.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from msgspec import Struct

from processor.domain.messages import Licence

CONFERENCING: Final = "MCOMEETADD"
CONFERENCE_MINUTES: Final = 60
"""Per conferencing licence, wherever its user is."""

PER_USER: Final = "MCOPSTN8"
NOTICE_PERCENT: Final = (80, 100)

_US: Final = "US"
_AT_HOME: Final = frozenset({"US", "CA", "PR"})
"""Domestic to one another."""


class Plan(Struct, frozen=True):
    """Monthly minutes of one licence of a calling plan; in the United States there may be more of them."""

    domestic_us: int
    domestic: int
    international: int = 0


PLANS: Final = {
    "MCOPSTN1": Plan(3000, 1200),
    "MCOPSTN2": Plan(3000, 1200, 600),
    "MCOPSTN5": Plan(120, 120),
    "MCOPSTN6": Plan(240, 240),
    PER_USER: Plan(120, 120),
}


class LicenceSet(Struct, frozen=True):
    """All licences of a tenant that bring minutes, from `effective_at` until the next set; `set_by` is the command."""

    effective_at: datetime
    set_by: str
    licences: list[Licence]


class PoolUse(Struct, kw_only=True):
    """Minutes taken from one pool in one month (`YYYY-MM`), and the last step that people were told of."""

    pool: str
    month: str
    used_minutes: int = 0
    told_percent: int = 0


class UserPools(Struct, kw_only=True):
    """The minutes that one user of a plan without pools has used; published to `user.pools.v1`."""

    tenant_id: str
    user_id: str
    pools: list[PoolUse]


class Entitlement(Struct, frozen=True):
    """The pool that a leg may draw on, and the minutes that one licence puts into it.

    `beside` is the pool of the same plan that closes this one when it is used up, with its minutes per licence;
    `user_id` the one whose own minutes these are.
    """

    pool: str
    capability: str
    minutes: int
    region: str | None = None
    beside: str | None = None
    beside_minutes: int = 0
    user_id: str | None = None


def month_of(at: datetime) -> str:
    """Names the calendar month, in UTC, that a leg begun at `at` belongs to."""
    if at.tzinfo is not UTC:
        at = at.astimezone(UTC)
    return f"{at.year:04}-{at.month:02}"


def region_of(country: str) -> str:
    """Returns the pool region of a usage location: Puerto Rico shares the United States' pools."""
    return _US if country == "PR" else country


def is_domestic(country: str, location: str) -> bool:
    """Tells whether a destination is domestic for a user at `location`."""
    return country == location or (country in _AT_HOME and location in _AT_HOME)


def owner_of(pool: str) -> str | None:
    """Returns the user whose own minutes these are; None for a pool that users share."""
    return pool.split("/", 2)[2] if pool.startswith(f"{PER_USER}/") else None


def calling_plan(capability: str, location: str, country: str, user_id: str | None) -> Entitlement | None:
    """Returns the pool for a call from a user at `location` to `country`, or None when the plan has none for it."""
    shared = _plan_pool(capability, location, is_domestic(country, location))
    if shared is None or capability != PER_USER:
        return shared
    if user_id is None:
        return None
    return Entitlement(f"{shared.pool}/{user_id}", capability, shared.minutes, shared.region, user_id=user_id)


@lru_cache(maxsize=4096)
def _plan_pool(capability: str, location: str, domestic: bool) -> Entitlement | None:
    region, plan = region_of(location), PLANS[capability]
    inside, outside = f"{capability}/{region}", f"{capability}/{region}/international"
    minutes = plan.domestic_us if region == _US else plan.domestic
    if not plan.international:
        return Entitlement(inside, capability, minutes, region) if domestic else None
    if domestic:
        return Entitlement(inside, capability, minutes, region, outside, plan.international)
    return Entitlement(outside, capability, plan.international, region, inside, minutes)


CONFERENCE_POOL: Final = Entitlement(CONFERENCING, CONFERENCING, CONFERENCE_MINUTES)


class Draw(Struct, gc=False):
    """What a pool gave: `left` is what it had before, `percent` the steps that people must be told of now."""

    left: int
    minutes: int
    percent: Sequence[int] = ()


class Pools:
    """The counters and licences that decide about one leg, begun at `at`; the list of counters is changed in place."""

    def __init__(self, licences: list[LicenceSet], uses: list[PoolUse], at: datetime) -> None:
        self.month = month_of(at)
        self._licences = effective(licences, at)
        self._uses = uses

    def limit(self, entitled: Entitlement) -> int:
        """Counts the minutes that the licences put into a pool."""
        return self._count(entitled) * entitled.minutes

    def draw(self, entitled: Entitlement, wanted: int, oldest_leg: datetime) -> Draw:
        """Takes as many of the `wanted` minutes as are left: never more.

        When a month begins, those that no leg begun after `oldest_leg` can reach are forgotten.
        """
        count = self._count(entitled)
        use = self._find(entitled.pool)
        used = use.used_minutes if use is not None else 0
        limit = count * entitled.minutes
        left = max(limit - used, 0)
        if entitled.beside is not None:
            beside = self._find(entitled.beside)
            if (beside.used_minutes if beside is not None else 0) >= count * entitled.beside_minutes:
                left = 0
        minutes = min(left, wanted)
        if not minutes:
            return Draw(left, 0)
        if use is None:
            first = month_of(oldest_leg)
            self._uses[:] = [each for each in self._uses if each.month >= first]
            use = PoolUse(pool=entitled.pool, month=self.month)
            self._uses.append(use)
        use.used_minutes = used = used + minutes
        if used * 100 < limit * NOTICE_PERCENT[0]:
            return Draw(left, minutes)
        due = [step for step in NOTICE_PERCENT if use.told_percent < step and limit * step <= used * 100]
        if due:
            use.told_percent = due[-1]
        return Draw(left, minutes, due)

    def give_back(self, pool: str, minutes: int) -> None:
        """Returns minutes to the month they were taken from; a month that is forgotten needs none."""
        use = self._find(pool)
        if use is not None:
            use.used_minutes = max(use.used_minutes - minutes, 0)

    def _find(self, pool: str) -> PoolUse | None:
        month = self.month
        for use in self._uses:
            if use.month == month and use.pool == pool:
                return use
        return None

    def _count(self, entitled: Entitlement) -> int:
        """Counts the licences that fill a pool; a user's own minutes need just one."""
        capability, region, count = entitled.capability, entitled.region, 0
        for licence in self._licences:
            if licence.capability == capability and (region is None or region_of(licence.country) == region):
                count += licence.count
        return count if entitled.user_id is None else min(count, 1)


def effective(sets: list[LicenceSet], at: datetime) -> list[Licence]:
    """Returns the licences that a tenant has at a time; `sets` are in the order of their times."""
    for licences in reversed(sets):
        if licences.effective_at <= at:
            return licences.licences
    return []
