"""Neither a tenant with most of the traffic, nor a partition that stands still, nor giant records stop the others."""

import json
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from processor.cli.reading import end_offsets, read_committed
from processor.contracts import topics as names
from processor.stream.balance_table import partition_of
from tests.crash.platform import PARTITIONS, Platform, write_deck
from tests.crash.proof import documents, prove
from tests.crash.workers import WorkerProcess, drained, lag, wait_until
from tests.stream.test_bad_input import call

HOT = "tenant-hot"
HOT_PARTITION = partition_of(HOT, PARTITIONS)
COLD = [f"tenant-{number:02}" for number in range(70)]
BACKLOG = 40_000
PADDING = "x" * 6000
"""The backlog has almost four times the bytes that are ever fetched ahead."""
GIANTS = 250
PATIENT = {
    "CREDITS_SESSION_TIMEOUT_S": "120",
    "CREDITS_TRANSACTION_TIMEOUT_S": "60",
    "CREDITS_BATCH_MAX_EVENTS": "1000",
}
PEAK_MIB = 900
"""Python, its libraries, twice what is fetched ahead, and what was allocated for it."""


Start = Callable[[str], WorkerProcess]


@pytest.fixture
def start(topics: str, tmp_path: Path) -> Iterator[Start]:
    """Starts a worker by its name; none outlives the test."""
    started: list[WorkerProcess] = []

    def begin(name: str) -> WorkerProcess:
        started.append(WorkerProcess(topics, tmp_path / name, write_deck(tmp_path / "deck.csv"), **PATIENT).start())
        return started[-1]

    yield begin
    for worker in started:
        if worker.running():
            worker.kill()


def send(brokers: str, tenants: Iterable[str], **changes: str) -> None:
    """Sends a call for each tenant that is named, with an id of its own."""
    settings = {"compression.type": "lz4", "linger.ms": 20, "queue.buffering.max.messages": 500_000}
    producer = Producer({"bootstrap.servers": brokers, "partitioner": "murmur2_random", **settings})
    event = json.dumps(call(tenant_id="T-E-N", _subject="T-E-N", _id="e-number", **changes)).encode()
    for number, tenant in enumerate(tenants):
        value = event.replace(b"e-number", b"T-E-N-%d" % number).replace(b"T-E-N", tenant.encode())
        producer.produce(names.USAGE_CALL, value, tenant)
        if number % 1000 == 0:
            producer.poll(0)
    assert producer.flush(120) == 0


def left(brokers: str, partitions: list[int]) -> dict[int, int]:
    """Returns by partition how many calls are not committed yet; very many, while the group has no coordinator."""
    places = [TopicPartition(names.USAGE_CALL, number) for number in partitions]
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "credits-meter"})
    try:
        committed = {at.partition: max(at.offset, 0) for at in consumer.committed(places, timeout=20)}
    except KafkaException as error:
        if error.args[0].code() not in (KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_LOAD_IN_PROGRESS):
            raise
        return dict.fromkeys(partitions, sys.maxsize)
    finally:
        consumer.close()
    ends = end_offsets({"bootstrap.servers": brokers}, [(names.USAGE_CALL, number) for number in partitions])
    return {number: end - committed[number] for (_, number), end in ends.items()}


def peak_mib(worker: WorkerProcess) -> int:
    """Returns the most memory that a worker has had."""
    status = Path(f"/proc/{worker.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def test_what_comes_behind_one_tenants_long_backlog_is_charged_before_that_is_done(topics: str, start: Start) -> None:
    send(topics, [HOT] * BACKLOG, unknown_field=PADDING)
    send(topics, COLD)
    assert {partition_of(tenant, PARTITIONS) for tenant in COLD} == set(range(PARTITIONS))
    worker = start("a")
    drained(topics, worker)
    assert peak_mib(worker) < PEAK_MIB
    assert worker.terminate() == 0, worker.log()
    recorded: dict[str, list[str]] = {}
    for document in documents(topics, names.LEDGER):
        recorded.setdefault(document["data"]["tenant_id"], []).append(document["data"]["recorded_at"])
    last_of_the_backlog = recorded.pop(HOT)[-1]
    assert sorted(recorded) == COLD
    elsewhere = [times for tenant, times in recorded.items() if partition_of(tenant, PARTITIONS) != HOT_PARTITION]
    assert max(at for times in elsewhere for at in times) < last_of_the_backlog, "they waited for all of it"


def test_partitions_that_stand_still_do_not_stop_those_of_another_worker(topics: str, start: Start) -> None:
    slow, quick = workers = [start("a"), start("b")]
    platform = Platform(topics, seed=9, tenants=60)
    platform.open_accounts()

    def owned(worker: WorkerProcess) -> list[int]:
        return sorted(worker.adopted()[-1]) if worker.adopted() else []

    def shared() -> bool:
        both = owned(slow), owned(quick)
        return all(both) and sorted(both[0] + both[1]) == list(range(PARTITIONS))

    wait_until("they share the partitions", shared)
    wait_until("the accounts are open", lambda: lag(topics) == 0)
    slow.signal(signal.SIGSTOP)
    wait_until("it stands still", slow.frozen)
    platform.emit(400)
    platform.producer.flush()
    wait_until("the other one's partitions are done", lambda: not any(left(topics, owned(quick)).values()))
    assert any(left(topics, owned(slow)).values())
    slow.signal(signal.SIGCONT)
    drained(topics, *workers)
    assert [worker.terminate() for worker in workers] == [0, 0]
    prove(topics, platform.expected)


def test_giants_are_parked_within_bounded_memory(topics: str, start: Start) -> None:
    """A quarter of a gigabyte in records that compress to nothing: all are parked, none at the cost of the worker."""
    giant = b"0" * 1_000_000
    settings = {"compression.type": "zstd", "linger.ms": 100, "message.max.bytes": "2000000"}
    producer = Producer({"bootstrap.servers": topics, "partitioner": "murmur2_random", **settings})
    for number in range(GIANTS):
        producer.produce(names.USAGE_CALL, giant, f"tenant-{number % 20}")
    assert producer.flush(60) == 0
    worker = start("a")
    drained(topics, worker)
    assert peak_mib(worker) < 2 * PEAK_MIB
    assert worker.terminate() == 0, worker.log()
    assert worker.deaths == [0], "it had to start again"
    assert sum(1 for _ in read_committed({"bootstrap.servers": topics}, names.DEAD_LETTERS)) == GIANTS
