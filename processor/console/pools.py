"""The minute pools of the present month, with the size that the licences give them: what the progress bars show."""

from datetime import date
from typing import Any, NamedTuple


class PoolBar(NamedTuple):
    """One pool; `limit` is None where the account does not say it."""

    pool: str
    used_minutes: int
    limit: int | None


def pool_bars(account: dict[str, Any], today: date) -> list[PoolBar]:
    """Returns the pools used this month, by name."""
    month = today.isoformat()[:7]
    used = [use for use in account.get("pools") or [] if use.get("month") == month]
    return [PoolBar(use["pool"], use["used_minutes"], use.get("limit_minutes")) for use in used]
