"""On a real broker: the state of the last release is taken over, its workers are replaced one by one under traffic."""

import itertools
import subprocess
import sys
import threading
from pathlib import Path

from confluent_kafka import Producer

from processor.contracts import topics as names
from processor.stream.state_format import FORMAT, HEADER
from tests.crash.platform import Payments, Platform, write_deck
from tests.crash.proof import prove
from tests.crash.workers import WorkerProcess, drained, wait_until
from tests.upgrade.golden import released

EVENTS = 3000
NEW_IDS = 1_000_000
"""Beyond the event ids of the kept state, of the same source."""


def test_workers_of_the_last_release_are_replaced_under_traffic(topics: str, tmp_path: Path) -> None:
    golden = released()[-1]
    golden.produce(topics)
    deck = write_deck(tmp_path / "deck.csv")
    workers = [WorkerProcess(topics, tmp_path / name, deck).start() for name in ("a", "b")]
    platform = Platform(topics, seed=2, tenants=len(golden.worth.balances))
    platform.expected = golden.expected
    platform._ids = itertools.count(NEW_IDS)
    half_sent = threading.Event()

    def traffic() -> None:
        for _ in range(2):
            platform.emit(EVENTS // 2)
            platform.producer.flush()
            half_sent.set()

    with Payments(topics, platform):
        wait_until("all partitions are worked on", lambda: sum(map(len, adopted(workers))) >= 8, 120)
        sending = threading.Thread(target=traffic)
        sending.start()
        half_sent.wait()
        for worker in workers:
            assert worker.terminate() == 0
            worker.start()
        sending.join()
        drained(topics, *workers)
    for worker in workers:
        assert worker.terminate() == 0
    prove(topics, platform.expected)  # the state of the old release and what came after, each event once
    audit = [sys.executable, "-m", "processor.cli", "verify", "--brokers", topics]
    done = subprocess.run(audit, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def adopted(workers: list[WorkerProcess]) -> list[set[int]]:
    """Returns what each of the workers has taken over last."""
    return [worker.adopted()[-1] if worker.adopted() else set() for worker in workers]


def test_a_worker_refuses_the_state_of_a_later_format_and_changes_nothing(topics: str, tmp_path: Path) -> None:
    golden = released()[-1]
    producer = Producer({"bootstrap.servers": topics})
    for record in golden.records(names.ACCOUNT_STATE):
        later = {HEADER: str(FORMAT + 1).encode()}
        producer.produce(names.ACCOUNT_STATE, record.value, record.key, record.partition, headers=later)
    producer.flush()
    worker = WorkerProcess(topics, tmp_path / "older", write_deck(tmp_path / "deck.csv")).start()
    assert worker.ended(120) == 1
    assert f"is of state format {FORMAT + 1}, this release reads {FORMAT}" in worker.log()
    assert "start the newer release again (docs/how-to/upgrade.md)" in worker.log()
