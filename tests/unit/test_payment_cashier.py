"""The cashier charges tenants side by side, each in its order, notes every step in the inbox, and stops in time."""

import threading
import time
from collections.abc import Container, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from prometheus_client import CollectorRegistry

from processor.payments.cashier import Cashier
from processor.payments.counters import Payments
from processor.payments.inbox import Inbox
from processor.payments.provider import Charge, Decision, ProviderTimeout

NOW = datetime(2026, 3, 1, tzinfo=UTC)
YES = Decision(status="succeeded", decided_at=NOW, card_fingerprint="one")


def charge(recharge_id: str) -> Charge:
    return Charge(
        recharge_id=recharge_id,
        tenant_id=recharge_id.partition(":")[0],
        amount_micros=1,
        currency="USD",
        payment_method_ref="card",
        requested_at=NOW,
    )


class Provider:
    """Says yes, but to `unanswered` nothing, and to `broken` an exception; `hanging` waits for `go_on`."""

    name = "fake"

    def __init__(self, unanswered: Container[str] = (), broken: str = "", hanging: str = "", together: int = 1) -> None:
        self.asked: list[str] = []
        self.reached, self.go_on = threading.Event(), threading.Event()
        self.fingerprint = "one"
        self._unanswered, self._broken, self._hanging = unanswered, broken, hanging
        self._together = threading.Barrier(together)

    def charge(self, charge: Charge) -> Decision:
        self.asked.append(charge.recharge_id)
        self._together.wait(10)
        if charge.recharge_id == self._broken:
            raise RuntimeError("broken")
        if charge.recharge_id in self._unanswered:
            raise ProviderTimeout
        if charge.recharge_id == self._hanging:
            self.reached.set()
            self.go_on.wait(10)
        return Decision(status="succeeded", decided_at=NOW, card_fingerprint=self.fingerprint)

    def close(self) -> None:
        pass


class Desk:
    """A cashier with its inbox and counters."""

    def __init__(self, provider: Provider, patience_s: float = 0.3, batch_s: float = 10, grace_s: float = 0.2) -> None:
        self.inbox, self.stop, self.registry = Inbox("sqlite://"), threading.Event(), CollectorRegistry()
        self.steps: list[str] = []
        self.cashier = Cashier(
            provider,
            self.inbox,
            Payments(self.registry),
            self.stop,
            concurrency=8,
            patience_s=patience_s,
            batch_s=batch_s,
            grace_s=grace_s,
            on_step=self.steps.append,
        )

    def charge(self, recharge_ids: Iterable[str]) -> dict[str, Decision]:
        charges = [charge(recharge_id) for recharge_id in recharge_ids]
        return self.cashier.charge(found.charge for found in self.inbox.receive(charges).values())


def test_tenants_are_charged_side_by_side_and_each_in_order() -> None:
    provider = Provider(together=8)  # no charge returns before eight are under way
    decisions = Desk(provider).charge(f"t{tenant}:{sequence}" for sequence in range(3) for tenant in range(8))
    assert len(decisions) == 24
    for tenant in range(8):
        assert [key for key in provider.asked if key.startswith(f"t{tenant}:")] == [f"t{tenant}:{n}" for n in range(3)]


def test_every_charge_passes_its_steps_and_stays_decided_in_the_inbox() -> None:
    desk = Desk(Provider())
    assert desk.charge(["t:1"]) == {"t:1": YES}
    assert desk.steps == ["charging", "charged", "decided"]
    assert desk.inbox.open() == {"received": 0, "charging": 0, "decided": 1}


def test_without_an_answer_the_same_key_is_asked_again_and_later_commands_of_the_tenant_wait() -> None:
    provider = Provider(unanswered={"a:1"})
    desk = Desk(provider)
    assert desk.charge(["a:1", "a:2", "b:1"]).keys() == {"b:1"}
    assert provider.asked.count("a:1") > 1
    assert "a:2" not in provider.asked
    assert desk.inbox.open() == {"received": 1, "charging": 1, "decided": 1}
    assert desk.registry.get_sample_value("credits_payment_provider_timeouts_total") == provider.asked.count("a:1")


def test_a_batch_ends_in_time_though_no_charge_has_lost_its_patience_and_the_rest_waits_for_the_next() -> None:
    keys = {f"t{tenant}:1" for tenant in range(24)}
    silent = Desk(Provider(unanswered=keys), patience_s=100, batch_s=0.3)
    with ThreadPoolExecutor(1) as turn:
        assert turn.submit(silent.charge, keys).result(30) == {}
    assert silent.inbox.open()["decided"] == 0
    too_late = Desk(Provider(), batch_s=-1)
    assert too_late.charge(keys) == {}
    assert too_late.inbox.open() == {"received": 24, "charging": 0, "decided": 0}


def test_an_error_of_the_provider_that_is_no_timeout_is_raised_and_the_others_are_decided_all_the_same() -> None:
    desk = Desk(Provider(broken="a:1"))
    with pytest.raises(RuntimeError, match="broken"):
        desk.charge(["a:1", "b:1"])
    assert desk.inbox.open() == {"received": 0, "charging": 1, "decided": 1}


def test_after_a_stop_a_provider_that_hangs_is_left_alone_and_nothing_new_is_begun() -> None:
    provider = Provider(hanging="a:1")
    desk = Desk(provider)
    threading.Thread(target=lambda: (provider.reached.wait(10), desk.stop.set())).start()
    assert desk.charge(["a:1", "a:2"]) == {}
    assert provider.asked == ["a:1"]
    assert desk.inbox.open() == {"received": 1, "charging": 1, "decided": 0}
    provider.go_on.set()


def test_after_a_stop_a_charge_under_way_is_waited_for() -> None:
    provider = Provider(hanging="a:1")
    desk = Desk(provider, grace_s=10)
    threading.Thread(target=lambda: (provider.reached.wait(10), desk.stop.set(), provider.go_on.set())).start()
    assert desk.charge(["a:1", "a:2"]) == {"a:1": YES}
    assert provider.asked == ["a:1"]


def test_the_clock_of_the_payment_worker_is_exported_so_that_its_skew_is_alarmed() -> None:
    desk = Desk(Provider())
    before = time.time()
    shown = desk.registry.get_sample_value("credits_time_seconds")
    assert shown is not None
    assert before <= shown <= time.time()


def test_another_card_behind_the_same_payment_method_is_counted_and_named_as_the_reason() -> None:
    provider = Provider()
    desk = Desk(provider)
    assert desk.charge(["t:1"])["t:1"].reason_code is None
    provider.fingerprint = "two"
    assert desk.charge(["t:2"])["t:2"].reason_code == "card_changed"
    assert desk.charge(["t:3"])["t:3"].reason_code is None
    assert desk.registry.get_sample_value("credits_payment_cards_changed_total") == 1
