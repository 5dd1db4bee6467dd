"""How the accounts of one partition stand, counted as they change: nobody walks through all of them for it."""

from datetime import datetime
from typing import Protocol


class StandingRecharge(Protocol):
    """What counts of the recharge state machine."""

    @property
    def in_flight(self) -> str | None:
        """The recharge that waits for its result."""

    @property
    def requested_at(self) -> datetime | None:
        """When it was asked for first."""

    @property
    def suspended(self) -> bool:
        """Whether auto-pay is suspended after failures."""


class StandingAutopay(Protocol):
    """What counts of the auto-pay settings."""

    @property
    def enabled(self) -> bool:
        """Whether payments are asked for."""

    @property
    def trigger_micros(self) -> int:
        """The balance at which one is."""


class Standing(Protocol):
    """What counts of an account."""

    @property
    def tenant_id(self) -> str:
        """Whose it is."""

    @property
    def balance_micros(self) -> int:
        """What is left, less what is owed."""

    @property
    def overdraft_micros(self) -> int:
        """What is owed."""

    @property
    def autopay(self) -> StandingAutopay | None:
        """The settings, if any."""

    @property
    def recharge(self) -> StandingRecharge:
        """The state machine."""


class Standings:
    """Remembers only those accounts of which there is something to say; in good order an account is not among them."""

    def __init__(self) -> None:
        self.overdrafts: dict[str, int] = {}
        """Tenant -> micros owed."""
        self.suspended: set[str] = set()
        self.waiting: dict[str, datetime] = {}
        """Tenant -> when the recharge in flight was asked for."""
        self.low: set[str] = set()
        """Tenants with auto-pay, a balance at or below the trigger, and no recharge in flight."""
        self.overdraft_micros = 0

    def note(self, account: Standing) -> None:
        """Counts an account as it is now."""
        tenant, recharge, autopay = account.tenant_id, account.recharge, account.autopay
        if (owed := account.overdraft_micros) or tenant in self.overdrafts:
            self.overdraft_micros += owed - self.overdrafts.pop(tenant, 0)
            if owed:
                self.overdrafts[tenant] = owed
        if recharge.suspended:
            self.suspended.add(tenant)
        elif self.suspended:
            self.suspended.discard(tenant)
        if recharge.in_flight is not None and recharge.requested_at is not None:
            self.waiting[tenant] = recharge.requested_at
            self.low.discard(tenant)
        else:
            self.waiting.pop(tenant, None)
            if autopay is not None and autopay.enabled and account.balance_micros <= autopay.trigger_micros:
                self.low.add(tenant)
            elif self.low:
                self.low.discard(tenant)
