"""The operator's choices that decide about money; `settings.py` fills them from the environment."""

from datetime import timedelta
from typing import Literal

from msgspec import Struct

from processor.domain.money import Micros


class Policy(Struct, frozen=True, kw_only=True):
    """Limits and choices; every default is the documented one."""

    default_currency: str = "USD"
    unrateable: Literal["park", "free"] = "park"
    deduplication: timedelta = timedelta(days=35)
    corrections: timedelta = timedelta(days=95)
    max_future: timedelta = timedelta(seconds=900)
    minimum_funding_micros: Micros = 50_000_000
    low_balance_micros: Micros = 10_000_000
    expiry_notice: timedelta = timedelta(days=30)
    recharge_deadline: timedelta = timedelta(seconds=300)
    recharge_deadline_max: timedelta = timedelta(hours=1)
    recharge_backoff: timedelta = timedelta(hours=1)
    recharge_backoff_max: timedelta = timedelta(hours=24)
    suspend_after_failures: int = 3
    recharge_max_per_day: int = 10
    recharge_max_units: int = 1
    burst_recharges: int = 3
    burst_window: timedelta = timedelta(minutes=10)
