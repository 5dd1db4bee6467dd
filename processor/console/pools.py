"""The minute pools of the present month with the size that the licences give them: what the progress bars show."""

from collections.abc import Iterable, Iterator
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
    UserPools,
    calling_plan,
    effective,
    month_of,
    region_of,
)

_ELSEWHERE = {True: "FR", False: "GB"}
"""A country that is foreign to somebody in Britain, and one that is foreign to everybody else."""


class PoolBar(NamedTuple):
    """One pool; `limit` is None where the licences no longer fill it."""

    pool: str
    used_minutes: int
    limit: int | None


def pool_bars(document: str, at: datetime, users: Iterable[str] = ()) -> list[PoolBar]:
    """Returns the pools that the licences at `at` fill, and those used this month, by name; then those of `users`.

    `document` is the account's JSON, `users` are those of people who share no pool.
    """
    account = msgspec.json.decode(document, type=Account)
    month, pools = month_of(at), Pools(account.licences, [], at)
    used = {use.pool: use.used_minutes for use in account.pools if use.month == month}
    limits = {entitled.pool: pools.limit(entitled) for entitled in _shared(account, at)}
    bars = [PoolBar(pool, used.get(pool, 0), limits.get(pool)) for pool in sorted({*used, *limits})]
    for user in users:
        found = msgspec.json.decode(user, type=UserPools)
        for use in found.pools:
            entitled = _own(use.pool, found.user_id)
            if use.month == month and entitled is not None:
                bars.append(PoolBar(use.pool, use.used_minutes, pools.limit(entitled)))
    return bars


def licences_at(document: str, at: datetime) -> list[Licence]:
    """Returns the licences that the tenant has at a time."""
    return effective(msgspec.json.decode(document, type=Account).licences, at)


def _shared(account: Account, at: datetime) -> Iterator[Entitlement]:
    for licence in effective(account.licences, at):
        if licence.capability == CONFERENCING:
            yield CONFERENCE_POOL
        elif licence.capability in PLANS and licence.capability != PER_USER:
            home = region_of(licence.country)
            for country in (home, _ELSEWHERE[home == "GB"]):
                entitled = calling_plan(licence.capability, home, country, None)
                if entitled is not None:
                    yield entitled


def _own(pool: str, user_id: str) -> Entitlement | None:
    home = pool.split("/")[1]
    return calling_plan(PER_USER, home, home, user_id)
