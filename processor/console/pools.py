"""The minute pools of the present month with the size that the licences give them: what the progress bars show."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

import msgspec

from processor.domain.account import Account
from processor.domain.messages import Licence
from processor.domain.pools import (
    CONFERENCE_POOL,
    CONFERENCING,
    PER_USER,
    PLANS,
    Entitlement,
    Pools,
    calling_plan,
    effective,
    month_of,
    owner_of,
    region_of,
)

_ELSEWHERE = {True: "FR", False: "GB"}
"""A country that is foreign to somebody in Britain, and one that is foreign to everybody else."""


class PoolBar(NamedTuple):
    """One pool; `limit` is None where the licences no longer fill it."""

    pool: str
    used_minutes: int
    limit: int | None


def pool_bars(document: str, at: datetime) -> list[PoolBar]:
    """Returns the pools that the licences at `at` fill, and those used this month, by name."""
    account = msgspec.json.decode(document, type=Account)
    month, pools = month_of(at), Pools(account.licences, [], at)
    used = {use.pool: use.used_minutes for use in account.pools if use.month == month}
    limits = {entitled.pool: pools.limit(entitled) for entitled in _entitlements(account, at, used)}
    return [PoolBar(pool, used.get(pool, 0), limits.get(pool)) for pool in sorted({*used, *limits})]


def licences_at(document: str, at: datetime) -> list[Licence]:
    """Returns the licences that the tenant has at a time."""
    return effective(msgspec.json.decode(document, type=Account).licences, at)


def _entitlements(account: Account, at: datetime, used: dict[str, int]) -> Iterator[Entitlement]:
    for licence in effective(account.licences, at):
        if licence.capability == CONFERENCING:
            yield CONFERENCE_POOL
        elif licence.capability in PLANS and licence.capability != PER_USER:
            home = region_of(licence.country)
            for country in (home, _ELSEWHERE[home == "GB"]):
                entitled = calling_plan(licence.capability, home, country, None)
                if entitled is not None:
                    yield entitled
    for pool in used:
        user = owner_of(pool)
        if user is not None:
            home = pool.split("/")[1]
            entitled = calling_plan(PER_USER, home, home, user)
            if entitled is not None:
                yield entitled
