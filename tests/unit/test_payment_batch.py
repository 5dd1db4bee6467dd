"""A batch of recharge commands gives an id one result and stops before what has no answer."""

from datetime import UTC, datetime

import pytest

from processor.contracts.outputs import request_record
from processor.payments.batch import Command, UndecodableCommand, decode, judge
from processor.payments.provider import Charge, Decision
from tests.stream.payment_world import request

NOW = datetime(2026, 3, 1, tzinfo=UTC)
YES = Decision(status="succeeded", decided_at=NOW)


def charge(recharge_id: str) -> Charge:
    return Charge(
        recharge_id=recharge_id,
        tenant_id=recharge_id.partition(":")[0],
        amount_micros=1,
        currency="USD",
        payment_method_ref="card",
        requested_at=NOW,
    )


def commands(partition: int, *recharge_ids: str) -> list[Command]:
    return [Command(partition, 10 + index, charge(recharge_id)) for index, recharge_id in enumerate(recharge_ids)]


def test_a_charge_says_how_often_and_when_it_was_asked_for() -> None:
    asked = request("t", 7, attempt=3)
    read = decode(1, 7, request_record(asked)).charge
    assert (read.recharge_id, read.attempt, read.requested_at) == ("t:7", 3, asked.requested_at)


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
