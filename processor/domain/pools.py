"""Minutes that licences bring along: pools per plan, place and calendar month, used up before credits pay.

A pool is named after what fills it: `MCOPSTN1/DE`, `MCOPSTN2/US` with `MCOPSTN2/US/international` beside it,
`MCOMEETADD` for conference dial-out, and `MCOPSTN8/US/<user>` where every user has minutes of their own. Its month is
the one, in UTC, in which the leg began.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
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
    """The pool that a leg may draw on. `beside` is the pool of the same plan that closes this one when it is empty."""

    pool: str
    capability: str
    region: str | None = None
    international: bool = False
    beside: str | None = None


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
    region = region_of(location)
    pool = f"{capability}/{region}"
    if capability == PER_USER:
        own = is_domestic(country, location) and user_id is not None
        return Entitlement(f"{pool}/{user_id}", capability, region) if own else None
    both = f"{pool}/international" if PLANS[capability].international else None
    if is_domestic(country, location):
        return Entitlement(pool, capability, region, beside=both)
    return Entitlement(both, capability, region, international=True, beside=pool) if both else None


CONFERENCE_POOL: Final = Entitlement(CONFERENCING, CONFERENCING)


class Pools:
    """The counters and licences that decide about one leg, begun at `at`; the list of counters is changed in place."""

    def __init__(self, licences: list[LicenceSet], uses: list[PoolUse], at: datetime) -> None:
        self.month = month_of(at)
        self._licences = effective(licences, at)
        self._uses = uses

    def left(self, entitled: Entitlement) -> int:
        """Counts the whole minutes that are left: never negative."""
        if entitled.beside is not None:
            beside = self._limit(entitled, international=not entitled.international)
            if self._used(entitled.beside) >= beside:
                return 0
        return max(self._limit(entitled, international=entitled.international) - self._used(entitled.pool), 0)

    def take(self, entitled: Entitlement, minutes: int, forget_before: str) -> list[int]:
        """Uses minutes up and returns the percentages that people must be told of now, each once per month.

        Months before `forget_before` are dropped when a new one begins: no event can reach them any more.
        """
        use = self._find(entitled.pool)
        if use is None:
            self._uses[:] = [each for each in self._uses if each.month >= forget_before]
            use = PoolUse(pool=entitled.pool, month=self.month)
            self._uses.append(use)
        use.used_minutes += minutes
        limit = self._limit(entitled, international=entitled.international)
        reached = use.used_minutes * 100
        due = [percent for percent in NOTICE_PERCENT if use.told_percent < percent and limit * percent <= reached]
        if due:
            use.told_percent = due[-1]
        return due

    def give_back(self, pool: str, minutes: int) -> None:
        """Returns minutes to the month they were taken from; a month that is forgotten needs none."""
        use = self._find(pool)
        if use is not None:
            use.used_minutes = max(use.used_minutes - minutes, 0)

    def _used(self, pool: str) -> int:
        use = self._find(pool)
        return use.used_minutes if use is not None else 0

    def _find(self, pool: str) -> PoolUse | None:
        for use in self._uses:
            if use.month == self.month and use.pool == pool:
                return use
        return None

    def _limit(self, entitled: Entitlement, *, international: bool) -> int:
        """Counts a pool's minutes under the licences."""
        if entitled.capability == CONFERENCING:
            return CONFERENCE_MINUTES * _count(self._licences, CONFERENCING)
        plan = PLANS[entitled.capability]
        minutes = plan.international if international else plan.domestic_us if entitled.region == _US else plan.domestic
        count = _count(self._licences, entitled.capability, entitled.region)
        return minutes * (min(count, 1) if entitled.capability == PER_USER else count)


def effective(sets: list[LicenceSet], at: datetime) -> list[Licence]:
    """Returns the licences that a tenant has at a time; `sets` are in the order of their times."""
    for licences in reversed(sets):
        if licences.effective_at <= at:
            return licences.licences
    return []


def _count(licences: Iterable[Licence], capability: str, region: str | None = None) -> int:
    return sum(
        licence.count
        for licence in licences
        if licence.capability == capability and (region is None or region_of(licence.country) == region)
    )
