"""Short ways to say what happens to an account in a test."""

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from processor.domain.account import Account, check
from processor.domain.corrections import Allocation, allocations, latest
from processor.domain.messages import (
    Adjusted,
    AdjustedData,
    AutopaySet,
    AutopaySetData,
    CallData,
    CallUsage,
    ConferenceData,
    ConferenceUsage,
    Funded,
    FundedData,
    Licence,
    LicencesSet,
    LicencesSetData,
    Message,
    RechargeDecided,
    RechargeDecidedData,
    RechargeReset,
    RechargeResetData,
    Tick,
)
from processor.domain.metering import apply
from processor.domain.policy import Policy
from processor.domain.pools import PoolUse
from processor.domain.posting import Outcome
from processor.domain.tariff import Deck, Row, Tariff
from processor.domain.timers import next_due

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
TENANT = "contoso"
UNIT = 1_000_000
_ids = count(1)


def row(prefix: str, rate: int = 100_000, **fields: Any) -> Row:
    """A row at 0.10 per minute, unless told otherwise."""
    defaults = {"destination": f"to {prefix}", "type": "mixed", "country": "GB", "deck": "test@1"}
    return Row(prefix=prefix, rate_micros_per_min=rate, **(defaults | fields))


ROWS = (
    row("44"),
    row("1", country="US"),
    row("33", country="FR", connect_fee_micros=50_000),
    row("449", 0, allowed=False),
    row("1800", 30_000, country="US", direction="inbound"),
    row("1425", 20_000, country="US", direction="inbound"),
)


def tariff(*rows: Row, **policy: Any) -> Tariff:
    """A tariff of the given rows, or of `ROWS`."""
    return Tariff([Deck("test", "1", rows or ROWS)], Policy(**policy))


def call(seconds: float = 60, started_at: datetime | None = None, **fields: Any) -> CallUsage:
    """An outbound call of a licensed pay-as-you-go user to +44 20 7946 0000, which has just ended."""
    connected = timedelta(seconds=seconds)
    answered_at = started_at or NOW - connected
    defaults: dict[str, Any] = {
        "tenant_id": TENANT,
        "call_id": "call",
        "leg_id": "leg",
        "record_kind": "final",
        "call_type": "user_out",
        "caller": "+14255550100",
        "callee": "+442079460000",
        "number_type": "user",
        "answered_at": answered_at,
        "ended_at": answered_at + connected,
        "connected_ms": connected // timedelta(milliseconds=1),
        "credits_licensed": True,
    }
    return CallUsage(specversion="1.0", id=_id(), source="platform", data=CallData(**(defaults | fields)))


def conference(seconds: float = 60, **fields: Any) -> ConferenceUsage:
    """A dial-out leg of a licensed organizer's subscription conference to +44 20 7946 0000, which has just ended."""
    connected = timedelta(seconds=seconds)
    defaults: dict[str, Any] = {
        "tenant_id": TENANT,
        "conference_id": "conference",
        "leg_id": "leg",
        "record_kind": "final",
        "leg_kind": "dial_out",
        "remote_number": "+442079460000",
        "bridge_number": "+14255550100",
        "joined_at": NOW - connected,
        "left_at": NOW,
        "connected_ms": connected // timedelta(milliseconds=1),
        "organizer_id": "organizer",
        "organizer_country": "US",
        "capability": "MCOMEETADD",
        "credits_licensed": True,
    }
    return ConferenceUsage(specversion="1.0", id=_id(), source="platform", data=ConferenceData(**(defaults | fields)))


def funded(units: float = 50, purchased_at: datetime = NOW, currency: str = "USD", **fields: Any) -> Funded:
    """A payment by hand."""
    amount = round(units * UNIT)
    defaults = {"tenant_id": TENANT, "amount_micros": amount, "payment_reference": "transfer"}
    data = FundedData(purchased_at=purchased_at, currency=currency, **(defaults | fields))
    return Funded(specversion="1.0", id=_id(), source="console", data=data)


def autopay(payment: float = 50, trigger: float = 20, **fields: Any) -> AutopaySet:
    """Auto-pay switched on: `payment` whenever the balance falls to `trigger`."""
    defaults = {
        "tenant_id": TENANT,
        "enabled": True,
        "payment_amount_micros": round(payment * UNIT),
        "trigger_micros": round(trigger * UNIT),
        "currency": "USD",
        "payment_method_ref": "card",
    }
    return AutopaySet(specversion="1.0", id=_id(), source="console", data=AutopaySetData(**(defaults | fields)))


def licences(*named: str, effective_at: datetime = NOW - timedelta(days=60), tenant_id: str = TENANT) -> LicencesSet:
    """The tenant's licences, each as `plan:country:count`."""
    made = [Licence(capability=each[0], country=each[1], count=int(each[2])) for each in (n.split(":") for n in named)]
    data = LicencesSetData(tenant_id=tenant_id, licences=made, effective_at=effective_at)
    return LicencesSet(specversion="1.0", id=_id(), source="console", data=data)


def adjusted(units: float, **fields: Any) -> Adjusted:
    """The operator adds this much, or takes it."""
    defaults = {"tenant_id": TENANT, "amount_micros": round(units * UNIT), "reason": "goodwill", "operator": "alice"}
    return Adjusted(specversion="1.0", id=_id(), source="console", data=AdjustedData(**(defaults | fields)))


def reset(tenant_id: str = TENANT) -> RechargeReset:
    """The operator ends a pause or suspension."""
    data = RechargeResetData(tenant_id=tenant_id, operator="alice")
    return RechargeReset(specversion="1.0", id=_id(), source="console", data=data)


def decided(recharge_id: str, status: str = "succeeded", units: float = 50, **fields: Any) -> RechargeDecided:
    """What the payment provider said."""
    defaults = {
        "recharge_id": recharge_id,
        "tenant_id": TENANT,
        "status": status,
        "amount_micros": round(units * UNIT),
        "currency": "USD",
        "provider": "simulated",
        "decided_at": NOW,
    }
    data = RechargeDecidedData(**(defaults | fields))
    return RechargeDecided(specversion="1.0", id=_id(), source="payments", data=data)


class DictMemory:
    """What a partition remembers beside its accounts, in dictionaries."""

    def __init__(self) -> None:
        self.versions: dict[tuple[str, str], Allocation] = {}
        self.users: dict[tuple[str, str], list[PoolUse]] = {}

    def original(self, source: str, event_id: str) -> Allocation | None:
        return latest(lambda *key: self.versions.get(key), source, event_id)

    def own_pools(self, tenant_id: str, user_id: str) -> list[PoolUse]:
        return self.users.setdefault((tenant_id, user_id), [])

    def keep(self, outcome: Outcome) -> None:
        for source, event_id, allocation in allocations(outcome.entries):
            self.versions[source, event_id] = allocation


class Meter:
    """One account under a tariff and a clock; every message it is given leaves its books in order."""

    def __init__(self, *rows: Row, now: datetime = NOW, **policy: Any) -> None:
        self.account = Account(tenant_id=TENANT, currency="USD")
        self.tariff = tariff(*rows, **policy)
        self.now = now
        self.memory = DictMemory()

    def apply(self, message: Message | Tick) -> Outcome:
        outcome = apply(self.account, message, self.tariff, self.now, self.memory)
        self.memory.keep(outcome)
        check(self.account)
        return outcome

    def debit(self, micros: int) -> Outcome:
        """Uses exactly this much, by a price made for it."""
        made = Tariff([Deck("made", "1", (row("44", micros),))], self.tariff.policy)
        outcome = apply(self.account, call(60, self.now - timedelta(seconds=60)), made, self.now)
        self.memory.keep(outcome)
        check(self.account)
        return outcome

    def wait(self, until: datetime | None = None) -> list[Outcome]:
        """Lets time pass until then, or to the next timer, and fires every timer on the way at its own time."""
        fired: list[Outcome] = []
        due = next_due(self.account, self.tariff.policy)
        until = due if until is None else until
        while due is not None and until is not None and due <= until:
            self.now = max(self.now, due)
            fired.append(self.apply(Tick()))
            due = next_due(self.account, self.tariff.policy)
            assert due is None or due > self.now, "a timer that has fired is still due"
        self.now = until or self.now
        return fired

    @property
    def balance(self) -> int:
        return self.account.balance_micros

    @property
    def in_flight(self) -> str | None:
        return self.account.recharge.in_flight


def _id() -> str:
    return f"event-{next(_ids)}"
