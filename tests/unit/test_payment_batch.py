"""A batch of recharge commands keeps each tenant's order, gives an id one result, stops before what has no answer."""

import threading
import time
from datetime import UTC, datetime

import pytest

from processor.payments.batch import Cashier, Command, UndecodableCommand, decode, judge
from processor.payments.provider import Charge, Decision, ProviderTimeout

NOW = datetime(2026, 3, 1, tzinfo=UTC)
YES = Decision(status="succeeded", decided_at=NOW)


def charge(recharge_id: str) -> Charge:
    return Charge(
        recharge_id=recharge_id,
        tenant_id=recharge_id.partition(":")[0],
        amount_micros=1,
        currency="USD",
        payment_method_ref="card",
    )


def commands(partition: int, *recharge_ids: str) -> list[Command]:
    return [Command(partition, 10 + index, charge(recharge_id)) for index, recharge_id in enumerate(recharge_ids)]


class Provider:
    name = "fake"

    def __init__(self, delay_s: float = 0.0, unanswered: frozenset[str] = frozenset(), broken: str = "") -> None:
        self.asked: list[str] = []
        self._delay_s, self._unanswered, self._broken = delay_s, unanswered, broken

    def charge(self, charge: Charge) -> Decision:
        self.asked.append(charge.recharge_id)
        time.sleep(self._delay_s)
        if charge.recharge_id == self._broken:
            raise RuntimeError("broken")
        if charge.recharge_id in self._unanswered:
            raise ProviderTimeout
        return YES


def cashier(provider: Provider, patience_s: float = 0.3) -> Cashier:
    return Cashier(provider, threading.Event(), concurrency=8, patience_s=patience_s)


def test_tenants_are_charged_side_by_side_and_each_in_order() -> None:
    provider = Provider(delay_s=0.05)
    charges = [charge(f"t{tenant}:{sequence}") for sequence in range(3) for tenant in range(8)]
    started = time.monotonic()
    decisions = cashier(provider).charge(charges)
    assert time.monotonic() - started < 24 * 0.05 / 2
    assert len(decisions) == 24
    for tenant in range(8):
        assert [key for key in provider.asked if key.startswith(f"t{tenant}:")] == [f"t{tenant}:{n}" for n in range(3)]


def test_a_command_that_appears_twice_is_asked_once() -> None:
    provider = Provider()
    cashier(provider).charge([charge("t:1"), charge("t:1")])
    assert provider.asked == ["t:1"]


def test_without_an_answer_the_same_key_is_asked_again_and_later_commands_of_the_tenant_wait() -> None:
    provider = Provider(unanswered=frozenset({"a:1"}))
    decisions = cashier(provider).charge([charge("a:1"), charge("a:2"), charge("b:1")])
    assert decisions.keys() == {"b:1"}
    assert provider.asked.count("a:1") > 1
    assert "a:2" not in provider.asked


def test_an_error_of_the_provider_that_is_no_timeout_is_raised() -> None:
    with pytest.raises(RuntimeError, match="broken"):
        cashier(Provider(broken="t:1")).charge([charge("t:1")])


def test_each_recharge_id_has_one_result_and_known_ones_have_none() -> None:
    batch = {3: commands(3, "a:1", "b:1", "a:1", "c:1")}
    verdict = judge(batch, lambda command: command.charge.recharge_id == "c:1", {"a:1": YES, "b:1": YES})
    assert [command.charge.recharge_id for command, _ in verdict.results] == ["a:1", "b:1"]
    assert verdict.repeated == 2
    assert verdict.next_offsets == {3: 14}
    assert not verdict.unanswered


def test_a_partition_is_committed_up_to_the_first_command_without_an_answer() -> None:
    batch = {0: commands(0, "a:1", "b:1", "c:1"), 1: commands(1, "d:1"), 2: commands(2, "e:1")}
    verdict = judge(batch, lambda _: False, {"a:1": YES, "c:1": YES, "d:1": YES})
    assert [command.charge.recharge_id for command, _ in verdict.results] == ["a:1", "d:1"]
    assert verdict.next_offsets == {0: 11, 1: 11, 2: 10}
    assert verdict.unanswered == {0: 2, 2: 1}


@pytest.mark.parametrize("value", [None, b"", b"{}", b"no json", b'{"type":"telephony.call.v1"}'])
def test_a_record_that_is_no_command_stops_the_worker(value: bytes | None) -> None:
    with pytest.raises(UndecodableCommand, match="partition 1, offset 7"):
        decode(1, 7, value)
