"""The console on a real broker: killed at random while entries flow, its read model equals the ledger's fold."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from confluent_kafka import Producer
from sqlalchemy import Engine, func, select
from sqlalchemy.exc import SQLAlchemyError

from processor.cli.reading import read_committed
from processor.console.access import Principal, Role, open_access
from processor.console.queries import Queries
from processor.console.readmodel import fold, open_readmodel
from processor.console.server import database_urls
from processor.console.tables import ACCOUNTS, DAILY, ENTRIES
from processor.contracts import outputs
from processor.contracts import topics as names
from processor.domain.account import Account
from processor.domain.metering import apply
from processor.embedded.broker import free_port
from tests.postgres import postgres, server  # noqa: F401 - fixtures
from tests.unit.builders import NOW, call, funded, tariff

TRANSACTIONS, ENTRIES_EACH, TENANTS = 100, 2000, 50
KILLS = 5
PATIENCE_S = 600.0


class Meter:
    """Writes what a meter would, in transactions of which every fifth is aborted and tried again."""

    def __init__(self, brokers: str) -> None:
        conf = {"bootstrap.servers": brokers, "transactional.id": "test-meter", "partitioner": "murmur2_random"}
        conf |= {"transaction.timeout.ms": 120_000, "linger.ms": 20, "compression.type": "lz4"}
        self._producer = Producer(conf)
        self._tariff = tariff()
        self._accounts = {
            tenant: Account(tenant_id=tenant, currency="USD") for tenant in (f"tenant-{n}" for n in range(TENANTS))
        }

    def run(self) -> None:
        self._producer.init_transactions(120)
        for number in range(TRANSACTIONS):
            records = list(self._records(number))
            for aborted in (True, False) if number % 5 == 0 else (False,):
                self._producer.begin_transaction()
                for topic, tenant, value in records:
                    self._producer.produce(topic, value, tenant.encode())
                self._producer.poll(0)
                if aborted:
                    self._producer.flush(120)
                    self._producer.abort_transaction(120)
                else:
                    self._producer.commit_transaction(120)

    def _records(self, number: int) -> Iterator[tuple[str, str, bytes]]:
        changed = set()
        for at in range(ENTRIES_EACH):
            tenant = f"tenant-{(number * ENTRIES_EACH + at) % TENANTS}"
            message = funded(50, tenant_id=tenant) if at % 20 == 0 else call(60 + at, tenant_id=tenant)
            for entry in apply(self._accounts[tenant], message, self._tariff, NOW).entries:
                yield names.LEDGER, tenant, outputs.entry_record(entry)
            changed.add(tenant)
        for tenant in sorted(changed):
            yield names.ACCOUNT_STATE, tenant, outputs.encode(self._accounts[tenant])


@contextmanager
def console(brokers: str, directory: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "processor.cli", "console", "--brokers", brokers, "--data-dir", str(directory)]
    with (directory / "console.log").open("ab") as log:
        environment = {**os.environ, "CREDITS_CONSOLE_RETENTION_DAYS": "3650"}  # time stands still in these entries
        process = subprocess.Popen([*command, *arguments], stdout=log, stderr=log, env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def stored(engine: Engine, total: int) -> int:
    """Counts the entries that the accounts of the read model know of; when it is all of them, those that it holds."""
    try:
        with engine.connect() as connection:
            known = int(connection.scalar(select(func.coalesce(func.sum(ACCOUNTS.c.revision), 0))) or 0)
            if known < total:
                return known
            return int(connection.scalar(select(func.count()).select_from(ENTRIES)) or 0)
    except SQLAlchemyError:
        return 0  # the tables are being made


def until(engine: Engine, entries: int, total: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while (found := stored(engine, total)) < entries:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, f"{found} of {entries} entries: {log.read_text()}"
        time.sleep(0.01)  # between two looks


@pytest.mark.timeout(900)  # half a minute where nothing else runs
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_a_console_killed_at_random_holds_the_fold_of_the_ledger(
    topics: str, tmp_path: Path, database: str, request: pytest.FixtureRequest
) -> None:
    """Six kills while 200,000 entries flow in committed and aborted transactions: each committed one counts once."""
    url = None if database == "sqlite" else request.getfixturevalue("postgres")
    engine = open_readmodel(database_urls(url, tmp_path / "console")[0])
    arguments = ["--port", str(free_port()), *(["--database", url] if url else [])]
    dice, total = random.Random(7), TRANSACTIONS * ENTRIES_EACH
    writer = threading.Thread(target=Meter(topics).run)
    writer.start()
    for kill in range(KILLS + 1):
        target = total if kill == KILLS else min(stored(engine, total) + dice.randrange(1, total // KILLS), total)
        with console(topics, tmp_path, *arguments) as process:
            until(engine, target, total, process, tmp_path / "console.log")
            process.send_signal(signal.SIGKILL)
    writer.join()

    expected: dict[str, tuple[int, int]] = {}
    for record in read_committed({"bootstrap.servers": topics}, names.LEDGER):
        entry = outputs.decode_entry(record.value()).data
        count, micros = expected.get(entry.tenant_id, (0, 0))
        expected[entry.tenant_id] = (count + 1, micros + entry.amount_micros)
    assert sum(count for count, _ in expected.values()) == total
    assert fold(engine) == expected
    with engine.connect() as connection:
        daily = connection.execute(
            select(DAILY.c.tenant_id, func.sum(DAILY.c.entries), func.sum(DAILY.c.amount_micros)).group_by(
                DAILY.c.tenant_id
            )
        )
        assert {row[0]: (int(row[1]), int(row[2])) for row in daily} == expected
    balances = {tenant: Queries(engine).account(tenant) for tenant in expected}
    assert {tenant: found and found["balance_micros"] for tenant, found in balances.items()} == {
        tenant: micros for tenant, (_, micros) in expected.items()
    }
    engine.dispose()


def test_a_console_says_which_broker_is_missing_and_ends_with_75(tmp_path: Path) -> None:
    with console(f"127.0.0.1:{free_port()}", tmp_path, "--port", str(free_port())) as process:
        assert process.wait(PATIENCE_S) == 75
    assert "credits kafka up" in (tmp_path / "console.log").read_text()


def test_funding_over_http_is_applied_by_a_real_worker_once(topics: str, tmp_path: Path) -> None:
    """The whole way: HTTP, account.commands.v1, a worker, ledger.v1, the read model, the answer."""
    port = free_port()
    access = open_access(database_urls(None, tmp_path / "console")[1])
    token = access.add_token(Principal("test", Role.OPERATOR, None), 1)
    worker = [sys.executable, "-m", "processor.cli", "worker", "--processes", "1", "--brokers", topics]
    worker += ["--data-dir", str(tmp_path / "worker"), "--metrics-port", "0"]
    with (tmp_path / "worker.log").open("w") as log:
        meter = subprocess.Popen(worker, stdout=log, stderr=log)
    try:
        with console(topics, tmp_path, "--port", str(port)) as process:
            headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "k", "Prefer": "wait=30"}
            with httpx.Client(base_url=f"http://127.0.0.1:{port}/v1/accounts", headers=headers, timeout=60) as client:
                deadline = time.monotonic() + PATIENCE_S
                while True:
                    assert process.poll() is None, (tmp_path / "console.log").read_text()
                    assert time.monotonic() < deadline
                    try:
                        client.get("/acme")
                        break
                    except httpx.TransportError:
                        time.sleep(0.05)  # between two looks
                for _ in range(2):
                    answer = client.post("/acme/funds", json={"amount_micros": 60_000_000})
                    assert (answer.status_code, answer.json()["status"]) == (200, "applied"), answer.text
                reset = client.post("/acme/recharge/reset", headers={"Idempotency-Key": "r"}, json={})
                assert reset.json()["status"] == "applied", reset.text
                assert client.get("/acme").json()["balance_micros"] == 60_000_000
    finally:
        meter.terminate()
        meter.wait(60)
