"""Stands for the meter and starts payment workers: what the tests of the payment worker share."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import pytest
from confluent_kafka import Producer

from processor.cli.reading import Tail, partitions_of
from processor.contracts import topics as names
from processor.contracts.inputs import decode
from processor.contracts.outputs import request_record
from processor.domain.ledger import RechargeRequest
from processor.domain.messages import RechargeDecided
from processor.payments import batch
from processor.payments.provider import Decision
from processor.payments.simulated import SimulatedProvider

DEADLINE_S = 60.0
AMOUNT = 50_000_000


def request(tenant: str, sequence: int, attempt: int = 1, method: str = "card-1") -> RechargeRequest:
    now = datetime.now(UTC)
    return RechargeRequest(
        recharge_id=f"{tenant}:{sequence}",
        tenant_id=tenant,
        sequence=sequence,
        attempt=attempt,
        amount_micros=AMOUNT,
        currency="USD",
        requested_at=now,
        deadline_at=now + timedelta(seconds=300),
        balance_micros=0,
        trigger_micros=AMOUNT,
        payment_method_ref=method,
        caused_by="event-1",
    )


class Meter:
    """Stands for the meter: writes commands in transactions, reads committed results."""

    def __init__(self, brokers: str, compression: str = "none") -> None:
        self.conf = {"bootstrap.servers": brokers, "log_level": 0}
        own = {"transactional.id": f"meter-{uuid.uuid4()}", "compression.type": compression}
        self._producer = Producer({**self.conf, **own, "partitioner": "murmur2_random"})
        self._producer.init_transactions(10)
        count = partitions_of(self.conf, names.RECHARGE_RESULTS)
        self._tail = Tail(self.conf, [(names.RECHARGE_RESULTS, partition) for partition in range(count)])
        self._results: list[RechargeDecided] = []
        self.places: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._tail.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._tail.__exit__(None, None, None)

    def ask(self, requests: list[RechargeRequest]) -> None:
        self._producer.begin_transaction()
        for each in requests:
            self._producer.produce(names.RECHARGE_COMMANDS, request_record(each), each.tenant_id)
        self._producer.commit_transaction(10)

    def abandon(self, requests: list[RechargeRequest]) -> None:
        self._producer.begin_transaction()
        for each in requests:
            self._producer.produce(names.RECHARGE_COMMANDS, request_record(each), each.tenant_id)
        self._producer.flush(10)
        self._producer.abort_transaction(10)

    def spoil(self, tenant: str) -> None:
        self._producer.begin_transaction()
        self._producer.produce(names.RECHARGE_COMMANDS, b"no command", tenant)
        self._producer.commit_transaction(10)

    def settle(self, asked: RechargeRequest, decision: Decision) -> None:
        """Writes a result that no payment worker gave, as `credits settle` does."""
        charge = batch.decode(0, 0, request_record(asked)).charge
        value = batch.result_record(charge, decision, "operator/alice")
        self._producer.begin_transaction()
        self._producer.produce(names.RECHARGE_RESULTS, value, asked.tenant_id)
        self._producer.commit_transaction(10)

    def results(self) -> list[RechargeDecided]:
        """All committed results so far."""
        for record in self._tail.messages(0.1):
            message = decode(names.RECHARGE_RESULTS, record.value(), record.headers())
            assert isinstance(message, RechargeDecided)
            assert record.key() == message.data.tenant_id.encode()
            self._results.append(message)
            self.places[message.data.tenant_id] = record.partition()
        return self._results

    def ids(self) -> Counter[str]:
        return Counter(result.data.recharge_id for result in self.results())


class Cashiers:
    """Starts payment workers as processes and ends those that a test leaves."""

    def __init__(self, brokers: str, directory: Path) -> None:
        self.books, self.brokers, self.directory = directory / "books.sqlite", brokers, directory
        self.group = f"payments-{uuid.uuid4().hex[:8]}"
        self.running: list[subprocess.Popen[str]] = []

    def start(self, *options: str, name: str = "one", **environment: str) -> subprocess.Popen[str]:
        """Starts `credits payment-worker`."""
        command = ["-m", "processor.cli", "payment-worker", "--brokers", self.brokers, "--group", self.group]
        command += ["--latency", "0.02", "--data-dir", str(self.directory / name), "--books", str(self.books)]
        return self.run([*command, *options], name, **environment)

    def run(self, arguments: list[str], name: str = "one", **environment: str) -> subprocess.Popen[str]:
        """Starts Python with these arguments and logs to the file of this name."""
        with (self.directory / f"{name}.log").open("a") as output:
            started = subprocess.Popen(
                [sys.executable, *arguments],
                env={**os.environ, **environment},
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
            )
        self.running.append(started)
        return started

    def log(self, name: str = "one") -> str:
        return (self.directory / f"{name}.log").read_text()

    def charged(self) -> dict[str, int]:
        """The simulated provider's charges, and how often it was asked for each."""
        provider = SimulatedProvider(str(self.books))
        found = {recharge_id: asked for recharge_id, _, _, asked in provider.charges()}
        provider.close()
        return found


@pytest.fixture
def meter(topics: str) -> Iterator[Meter]:
    with Meter(topics) as started:
        yield started


@pytest.fixture
def cashiers(topics: str, tmp_path: Path) -> Iterator[Cashiers]:
    started = Cashiers(topics, tmp_path)
    yield started
    for process in started.running:
        if process.poll() is None:
            process.kill()
        process.wait()


def until(condition: Callable[[], bool], what: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.02)


@contextmanager
def stopped_cleanly(process: subprocess.Popen[str], cashiers: Cashiers) -> Iterator[None]:
    yield
    process.send_signal(signal.SIGTERM)
    assert process.wait(DEADLINE_S) == 0, cashiers.log()
