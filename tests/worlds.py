"""A small world that a meter has left in the topics, for tests that audit it."""

from datetime import UTC, datetime, timedelta

import msgspec

from processor.contracts import outputs
from processor.domain.account import Account
from processor.domain.audit import Books, Findings
from processor.domain.audit_recharges import AuditedCommand, AuditedResult, Recharges
from processor.domain.audit_records import AuditedEntry, AuditedState
from processor.domain.ledger import Entry, RechargeRequest
from processor.domain.messages import (
    AutopaySet,
    AutopaySetData,
    CallData,
    CallUsage,
    Funded,
    FundedData,
    Message,
    RechargeDecided,
    RechargeDecidedData,
)
from processor.domain.metering import apply
from processor.domain.tariff import Deck, Row, Tariff

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
TARIFF = Tariff(
    [Deck("d", "1", (Row(prefix="44", destination="UK", type="fixed", country="GB", rate_micros_per_min=1_000_000),))]
)
UNIT = 1_000_000


class World:
    """What a meter leaves in the topics: the real domain at work on a few tenants."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.entries: list[Entry] = []
        self.commands: list[RechargeRequest] = []
        self.results: list[RechargeDecided] = []
        self.states: dict[str, AuditedState] = {}
        self.results_trimmed = False
        self.events = 0
        self.now = NOW

    def apply(self, tenant: str, message: Message) -> None:
        account = self.accounts.setdefault(tenant, Account(tenant_id=tenant, currency="USD"))
        self.now += timedelta(minutes=1)
        outcome = apply(account, message, TARIFF, self.now)
        self.entries += outcome.entries
        self.commands += outcome.requests

    def envelope(self) -> dict[str, str]:
        self.events += 1
        return {"specversion": "1.0", "id": f"e{self.events}", "source": "/test"}

    def fund(self, tenant: str, units: int) -> None:
        data = FundedData(
            tenant_id=tenant,
            amount_micros=units * UNIT,
            currency="USD",
            purchased_at=self.now,
            payment_reference="p",
        )
        self.apply(tenant, Funded(**self.envelope(), data=data))

    def autopay(self, tenant: str) -> None:
        data = AutopaySetData(
            tenant_id=tenant,
            enabled=True,
            payment_amount_micros=50 * UNIT,
            trigger_micros=20 * UNIT,
            currency="USD",
            payment_method_ref="pm",
        )
        self.apply(tenant, AutopaySet(**self.envelope(), data=data))

    def call(self, tenant: str, minutes: int) -> None:
        data = CallData(
            tenant_id=tenant,
            call_id="c",
            leg_id="a",
            record_kind="final",
            call_type="user_out",
            caller="",
            callee="+442079460018",
            number_type="user",
            answered_at=self.now - timedelta(minutes=minutes),
            ended_at=self.now,
            connected_ms=minutes * 60_000,
            credits_licensed=True,
        )
        self.apply(tenant, CallUsage(**self.envelope(), data=data))

    def decide(self, tenant: str, status: str = "succeeded", number: int = -1) -> RechargeDecided:
        asked = [command for command in self.commands if command.tenant_id == tenant][number]
        data = RechargeDecidedData(
            recharge_id=asked.recharge_id,
            tenant_id=tenant,
            status=status,
            amount_micros=asked.amount_micros,
            currency="USD",
            provider="simulated",
            decided_at=self.now,
        )
        result = RechargeDecided(**self.envelope(), data=data)
        self.results.append(result)
        return result

    def settle(self, tenant: str, status: str = "succeeded") -> None:
        self.apply(tenant, self.decide(tenant, status))

    def publish(self) -> None:
        """Writes the states as of now; later entries are those the audit reads beyond them."""
        for tenant, account in self.accounts.items():
            self.states[tenant] = msgspec.json.decode(outputs.encode(account), type=AuditedState)

    def audited(self) -> list[AuditedEntry]:
        """Returns the ledger as an audit reads it."""
        return [msgspec.convert(msgspec.to_builtins(entry), AuditedEntry) for entry in self.entries]

    def audit(self) -> tuple[list[str], Books, Findings]:
        findings = Findings()
        books = Books(findings)
        recharges = Recharges(findings, books)
        for tenant, state in self.states.items():
            books.state(tenant, state)
        for command in self.commands:
            recharges.command(msgspec.convert(msgspec.to_builtins(command), AuditedCommand))
        audited = self.audited()
        for entry in audited:
            books.entry(entry)
            if entry.kind == "recharge":
                recharges.entry(entry)
        if suspects := books.suspects():
            books.confirm(audited, suspects)
        books.forget_events()
        recharges.results_trimmed = self.results_trimmed
        for result in self.results:
            recharges.result(result.source, result.id, msgspec.convert(msgspec.to_builtins(result.data), AuditedResult))
        recharges.close()
        books.close(books.stateless())
        return sorted({finding.kind for finding in findings.kept}), books, findings


def lived() -> World:
    """Two tenants with funds, an overdraft, three recharges (one declined) and one in flight."""
    world = World()
    world.fund("a", 50)
    world.autopay("a")
    world.call("a", 35)
    world.settle("a")
    world.call("a", 30)
    world.call("a", 30)  # the second one in flight is not enough
    world.settle("a")
    world.fund("b", 50)
    world.call("b", 70)  # 20 overdrawn
    world.call("b", 1)
    world.fund("b", 60)
    world.autopay("b")
    world.call("b", 30)
    world.settle("b", "declined")
    world.publish()
    world.call("a", 40)  # the meter goes on while the audit reads
    world.fund("b", 50)
    return world
