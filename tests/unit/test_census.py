"""The census says how the accounts of a worker stand, without a label that grows with them."""

from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry

from processor.domain.account import Account, Autopay
from processor.domain.policy import Policy
from processor.observability import census as module
from processor.observability.census import Census
from processor.stream.partition import PartitionProcessor
from processor.stream.work import Work
from tests.unit.builders import tariff


def changed(processor: PartitionProcessor, account: Account) -> None:
    processor.table.changed(account)
    processor.finish(Work(datetime.now(UTC)))


def counted(*accounts: Account, registry: CollectorRegistry | None = None) -> CollectorRegistry:
    registry = registry or CollectorRegistry()
    processor = PartitionProcessor(0, 1, tariff())
    for account in accounts:
        changed(processor, account)
    Census(registry, lambda: [processor], lambda: {"usage.call.v1": 7}, Policy()).count()
    return registry


def below_trigger(tenant: str) -> Account:
    autopay = Autopay(
        enabled=True, payment_amount_micros=50_000_000, trigger_micros=20, payment_method_ref="card", set_by="command"
    )
    return Account(tenant_id=tenant, currency="USD", autopay=autopay)


def test_overdrafts_are_summed_and_counted() -> None:
    found = counted(
        Account(tenant_id="a", currency="USD", overdraft_micros=5, balance_micros=-5, debited_micros=5),
        Account(tenant_id="b", currency="USD", overdraft_micros=7, balance_micros=-7, debited_micros=7),
        Account(tenant_id="c", currency="USD"),
    )
    assert found.get_sample_value("credits_accounts") == 3
    assert found.get_sample_value("credits_overdraft_micros") == 12
    assert found.get_sample_value("credits_overdrawn_accounts") == 2
    assert found.get_sample_value("credits_input_lag_records", {"topic": "usage.call.v1"}) == 7


def test_the_oldest_recharge_in_flight_is_told_by_the_time_it_was_asked_for() -> None:
    now = datetime.now(UTC)
    waiting = [below_trigger(name) for name in "ab"]
    for account, age_s in zip(waiting, (30, 90), strict=True):
        account.recharge.in_flight = f"{account.tenant_id}:1"
        account.recharge.requested_at = now - timedelta(seconds=age_s)
    oldest = counted(*waiting).get_sample_value("credits_recharge_oldest_in_flight_timestamp_seconds")
    assert oldest == pytest.approx(now.timestamp() - 90)
    assert counted().get_sample_value("credits_recharge_oldest_in_flight_timestamp_seconds") == 0


def test_a_payment_that_is_due_and_not_asked_for_grows_old(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = CollectorRegistry()
    processor = PartitionProcessor(0, 1, tariff())
    changed(processor, below_trigger("a"))
    census = Census(registry, lambda: [processor], dict, Policy())
    census.count()
    due = "credits_below_trigger_without_request"
    assert registry.get_sample_value(due, {"age": "under_60s"}) == 1
    later = module.monotonic() + 61
    monkeypatch.setattr(module, "monotonic", lambda: later)
    census.count()
    assert registry.get_sample_value(due, {"age": "under_60s"}) == 0
    assert registry.get_sample_value(due, {"age": "over_60s"}) == 1
    account = processor.table.get("a")
    assert account is not None
    account.recharge.suspended = True
    changed(processor, account)
    census.count()
    assert registry.get_sample_value(due, {"age": "over_60s"}) == 0
    assert registry.get_sample_value("credits_autopay_suspended") == 1


def test_ten_thousand_accounts_add_no_series() -> None:
    empty = {(sample.name, *sample.labels.values()) for family in counted().collect() for sample in family.samples}
    full = counted(*(below_trigger(f"tenant-{index}") for index in range(10_000)))
    assert {(sample.name, *sample.labels.values()) for family in full.collect() for sample in family.samples} == empty
    assert full.get_sample_value("credits_below_trigger_without_request", {"age": "under_60s"}) == 10_000
