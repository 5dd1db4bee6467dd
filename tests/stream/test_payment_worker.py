"""The payment worker on a real broker: one result and one charge per recharge id, whatever happens to the process."""

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

import msgspec
import pytest
from confluent_kafka import Producer

from processor.cli.reading import Tail, partitions_of, read_committed
from processor.contracts import topics as names
from processor.contracts.inputs import decode
from processor.contracts.outputs import request_record
from processor.domain.ledger import RechargeRequest
from processor.domain.messages import RechargeDecided
from processor.payments.simulated import CRASHED, SimulatedProvider

DEADLINE_S = 60.0
AMOUNT = 50_000_000


def request(tenant: str, sequence: int, attempt: int = 1) -> RechargeRequest:
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
        payment_method_ref="card-1",
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
        self.books, self._brokers, self._directory = directory / "books.sqlite", brokers, directory
        self._group = f"payments-{uuid.uuid4().hex[:8]}"
        self.running: list[subprocess.Popen[str]] = []

    def start(self, *options: str, name: str = "one") -> subprocess.Popen[str]:
        command = [
            sys.executable,
            "-m",
            "processor.cli",
            "payment-worker",
            "--brokers",
            self._brokers,
            "--latency",
            "0.02",
        ]
        command += ["--group", self._group, "--data-dir", str(self._directory / name), "--books", str(self.books)]
        output = (self._directory / f"{name}.log").open("a")
        started = subprocess.Popen([*command, *options], stdout=output, stderr=subprocess.STDOUT, text=True)
        output.close()
        self.running.append(started)
        return started

    def log(self, name: str = "one") -> str:
        return (self._directory / f"{name}.log").read_text()

    def charged(self) -> dict[str, int]:
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


def test_each_command_has_one_result_that_repeats_its_amount_and_its_tenants_key(
    meter: Meter, cashiers: Cashiers
) -> None:
    wanted = [request(f"t{tenant}", sequence) for sequence in (1, 2) for tenant in range(30)]
    meter.abandon([request("t0", 99)])
    meter.ask(wanted)
    with stopped_cleanly(cashiers.start(), cashiers):
        until(lambda: len(meter.results()) >= len(wanted), cashiers.log)
    results = meter.results()
    commands = read_committed(meter.conf, names.RECHARGE_COMMANDS)
    assert meter.places == {record.key().decode(): record.partition() for record in commands}
    assert meter.ids() == {each.recharge_id: 1 for each in wanted}
    assert cashiers.charged() == dict.fromkeys((each.recharge_id for each in wanted), 1)
    first = next(result for result in results if result.data.recharge_id == "t3:1")
    assert (first.id, first.source, first.subject) == ("t3:1#decided", "/payment-worker/simulated", "t3")
    assert (first.data.status, first.data.amount_micros, first.data.currency) == ("succeeded", AMOUNT, "USD")
    by_tenant = [result.data.recharge_id for result in results if result.data.tenant_id == "t5"]
    assert by_tenant == ["t5:1", "t5:2"]


def test_a_command_that_is_sent_again_has_no_second_result_even_after_a_restart(
    meter: Meter, cashiers: Cashiers
) -> None:
    meter.ask([request("a", 1), request("a", 1), request("b", 1)])
    with stopped_cleanly(cashiers.start(), cashiers):
        until(lambda: len(meter.results()) >= 2, cashiers.log)
        meter.ask([request("a", 1, attempt=2)])
        meter.ask([request("a", 2)])
        until(lambda: meter.ids()["a:2"] == 1, cashiers.log)
    with stopped_cleanly(cashiers.start(name="two"), cashiers):
        meter.ask([request("b", 1, attempt=2), request("b", 2)])
        until(lambda: meter.ids()["b:2"] == 1, lambda: cashiers.log("two"))
    assert meter.ids() == {"a:1": 1, "a:2": 1, "b:1": 1, "b:2": 1}
    assert cashiers.charged()["a:1"] == 1


def test_declines_are_published_with_their_code_and_stay_declined(meter: Meter, cashiers: Cashiers) -> None:
    meter.ask([request(f"t{tenant}", 1) for tenant in range(10)])
    with stopped_cleanly(cashiers.start("--decline-rate", "1", "--decline-code", "expired_card"), cashiers):
        until(lambda: len(meter.results()) >= 10, cashiers.log)
    data = [result.data for result in meter.results()]
    assert {(each.status, each.reason_code, each.provider_reference) for each in data} == {
        ("declined", "expired_card", None)
    }


def test_a_worker_that_dies_between_charge_and_result_charges_once_and_publishes_once(
    meter: Meter, cashiers: Cashiers
) -> None:
    wanted = [request(f"t{tenant}", 1) for tenant in range(40)]
    meter.ask(wanted)
    deaths = 0
    deadline = time.monotonic() + DEADLINE_S
    while len(meter.results()) < len(wanted):
        process = cashiers.start("--crash-after-charge", "0.1", "--concurrency", "4")
        until(lambda p=process: p.poll() is not None or len(meter.results()) == 40, cashiers.log)  # type: ignore[misc]
        if process.poll() is not None:
            assert process.returncode == CRASHED, cashiers.log()
            deaths += 1
        assert time.monotonic() < deadline, cashiers.log()
    assert deaths > 0
    assert meter.ids() == {each.recharge_id: 1 for each in wanted}
    charged = cashiers.charged()
    assert charged.keys() == {each.recharge_id for each in wanted}
    assert max(charged.values()) > 1  # asked again under the same key, charged once


def test_killed_workers_and_a_second_one_together_publish_once(meter: Meter, cashiers: Cashiers) -> None:
    wanted: list[RechargeRequest] = []
    processes = {"one": cashiers.start(name="one"), "two": cashiers.start(name="two")}
    for round_number, name in enumerate(("one", "two", "one")):
        meter.ask([request(f"t{tenant}", round_number + 1) for tenant in range(60)])
        wanted += [request(f"t{tenant}", round_number + 1) for tenant in range(60)]
        some = 60 * round_number + 10
        until(lambda some=some: len(cashiers.charged()) > some, cashiers.log)  # type: ignore[misc]
        os.kill(processes[name].pid, signal.SIGKILL)
        processes[name].wait()
        processes[name] = cashiers.start(name=name)
    until(lambda: len(meter.results()) >= len(wanted), lambda: cashiers.log("one") + cashiers.log("two"))
    for name, starts in (("one", 3), ("two", 2)):  # a process that still loads its modules cannot end in order
        until(lambda n=name, s=starts: cashiers.log(n).count("worker started") == s, cashiers.log)  # type: ignore[misc]
    for name, process in processes.items():
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0, cashiers.log(name)
    assert meter.ids() == {each.recharge_id: 1 for each in wanted}
    assert cashiers.charged().keys() == {each.recharge_id for each in wanted}


def test_commands_are_read_as_the_meter_compresses_them(topics: str, cashiers: Cashiers) -> None:
    pytest.importorskip("lz4", reason="kafka-python reads lz4 only with the lz4 package")
    with Meter(topics, "lz4") as meter, stopped_cleanly(cashiers.start(), cashiers):
        meter.ask([request("t1", sequence) for sequence in range(1, 21)])
        until(lambda: len(meter.results()) == 20, cashiers.log)


def test_a_record_that_is_no_command_stops_the_worker_with_70_and_says_where_it_is(
    meter: Meter, cashiers: Cashiers
) -> None:
    meter.spoil("t1")
    process = cashiers.start()
    assert process.wait(DEADLINE_S) == 70
    assert "recharge.commands.v1 holds a record that is no recharge command: partition" in cashiers.log()
    assert not meter.results()


def test_decisions_are_logged_as_json_without_payment_references(meter: Meter, cashiers: Cashiers) -> None:
    meter.ask([request("t1", 1)])
    with stopped_cleanly(cashiers.start("--debug"), cashiers):
        until(lambda: '"decided"' in cashiers.log(), cashiers.log)
    lines = [msgspec.json.decode(line) for line in cashiers.log().splitlines() if line.startswith("{")]
    assert {"event": "decided", "recharge_id": "t1:1", "status": "succeeded"}.items() <= lines[1].items()
    assert "card-1" not in cashiers.log()
