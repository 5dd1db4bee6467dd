"""What a partition processor does with a run of records, without a broker."""

import json
from dataclasses import dataclass
from datetime import timedelta

from processor.contracts import topics
from processor.contracts.inputs import decode
from processor.contracts.outputs import encode
from processor.stream.balance_table import partition_of
from processor.stream.partition import PartitionProcessor
from processor.stream.work import Work
from tests.unit.builders import NOW, TENANT, call, funded, tariff

PARTITIONS = 8
HOME = partition_of(TENANT, PARTITIONS)


@dataclass
class FakeRecord:
    """As much of a Kafka message as a partition processor reads; `arrived_at` is the broker's time of arrival."""

    body: bytes
    sent_to: str = topics.USAGE_CALL
    record_key: bytes | None = TENANT.encode()
    at: int = 0
    arrived_ms: int = int(NOW.timestamp() * 1000)

    def topic(self) -> str:
        return self.sent_to

    def partition(self) -> int:
        return HOME

    def offset(self) -> int:
        return self.at

    def key(self) -> bytes | None:
        return self.record_key

    def value(self) -> bytes:
        return self.body

    def headers(self) -> None:
        return None

    def timestamp(self) -> tuple[int, int]:
        return 2, self.arrived_ms


def processed(processor: PartitionProcessor, *records: FakeRecord) -> Work:
    work = Work(NOW)
    processor.process(records[0].sent_to, list(records), work)  # type: ignore[arg-type]
    processor.finish(work)
    return work


def test_a_command_that_arrived_before_the_window_is_parked_because_it_may_have_been_obeyed() -> None:
    processor = PartitionProcessor(HOME, PARTITIONS, tariff())
    old = int((NOW - timedelta(days=35, seconds=1)).timestamp() * 1000)
    recent = int((NOW - timedelta(days=34)).timestamp() * 1000)
    commands = [
        FakeRecord(encode(funded()), topics.ACCOUNT_COMMANDS, at=0, arrived_ms=old),
        FakeRecord(encode(funded()), topics.ACCOUNT_COMMANDS, at=1, arrived_ms=recent),
    ]
    work = processed(processor, *commands)
    assert dict(work.parked) == {"too_old": 1}
    assert processor.table.accounts[TENANT].balance_micros == 50_000_000
    assert work.offsets == {(topics.ACCOUNT_COMMANDS, HOME): 2}


def test_a_repeated_event_is_counted_and_changes_nothing() -> None:
    processor = PartitionProcessor(HOME, PARTITIONS, tariff())
    record = FakeRecord(encode(call()))
    first, again = processed(processor, record), processed(processor, record)
    assert [output[0] for output in first.outputs] == [topics.LEDGER]
    assert list(first.changelogs) == [(topics.ACCOUNT_STATE, HOME), (topics.EVENT_IDS, HOME)]
    assert again.outputs == []
    assert again.changelogs == {}
    assert dict(again.outcomes) == {("call", "duplicate"): 1}


def test_a_repetition_within_one_run_is_counted_and_changes_nothing() -> None:
    processor = PartitionProcessor(HOME, PARTITIONS, tariff())
    body = encode(call())
    work = processed(processor, FakeRecord(body, at=0), FakeRecord(body, at=1))
    assert [output[0] for output in work.outputs] == [topics.LEDGER]
    assert dict(work.outcomes) == {("call", "duplicate"): 1}


def test_a_rejected_event_is_not_remembered_so_its_replay_is_applied() -> None:
    processor = PartitionProcessor(HOME, PARTITIONS, tariff())
    message = call(callee="+99912345678")
    parked = processed(processor, FakeRecord(encode(message)))
    message.data.callee = "+442079460000"
    replayed = processed(processor, FakeRecord(encode(message)))
    assert dict(parked.parked) == {"no_rate": 1}
    assert replayed.outputs[0][0] == topics.LEDGER


def test_a_rejected_event_of_a_new_tenant_opens_no_account() -> None:
    processor = PartitionProcessor(HOME, PARTITIONS, tariff())
    processed(processor, FakeRecord(encode(call(callee="+99912345678"))))
    assert processor.table.accounts == {}


def test_everything_published_about_a_leg_is_without_its_numbers() -> None:
    processor = PartitionProcessor(HOME, PARTITIONS, tariff())
    message = call()
    work = processed(processor, FakeRecord(encode(message)))
    told = b"".join(value for _, _, _, value, _ in work.outputs if value)
    assert message.data.callee[1:].encode() not in told
    assert message.data.caller[1:].encode() not in told
    assert json.loads(work.outputs[0][3])["data"]["usage"]["prefix"] == "44"
    assert decode(topics.USAGE_CALL, encode(message)) == message
