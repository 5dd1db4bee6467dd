"""The payment provider's own book of charges is the ledger's list of recharges, whoever was killed in between."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from processor.payments.simulated import SimulatedProvider
from tests.crash.platform import Platform, write_deck
from tests.crash.proof import documents, prove
from tests.crash.workers import WorkerProcess, wait_until

STEPS = ("A2:1", "B2:2", "B4:2", "B5:2", "B6:2", "B7:2")
SETTINGS = {
    "CREDITS_BATCH_MAX_EVENTS": "400",
    "CREDITS_RECHARGE_DEADLINE_S": "2",
    "CREDITS_RECHARGE_BACKOFF_S": "1",
    "CREDITS_RECHARGE_BACKOFF_MAX_S": "1",
    "CREDITS_SUSPEND_AFTER_FAILURES": "1000",
}


class PaymentWorker:
    """A payment worker that dies after some charges, loses answers and declines; restarted whenever it ends."""

    def __init__(self, bootstrap: str, directory: Path) -> None:
        self.books = directory / "books.sqlite"
        directory.mkdir()
        self._command = [sys.executable, "-m", "processor.cli", "payment-worker", "--brokers", bootstrap]
        self._command += ["--data-dir", str(directory), "--books", str(self.books), "--latency", "0.05"]
        self._command += ["--crash-after-charge", "0.15", "--timeout-rate", "0.2", "--decline-rate", "0.2"]
        self._log = (directory / "log").open("wb")
        self._stopping = threading.Event()
        self._process = self._start()
        self._supervisor = threading.Thread(target=self._restart, daemon=True)
        self.deaths: list[int] = []

    def __enter__(self) -> "PaymentWorker":
        self._supervisor.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self.kill()
        self._supervisor.join()
        self._log.close()

    def kill(self) -> None:
        self._process.kill()

    def charged(self) -> dict[str, int]:
        """What the provider took, in micros, by recharge id."""
        provider = SimulatedProvider(str(self.books))
        rows = provider.charges()
        provider.close()
        return {recharge_id: amount for recharge_id, status, amount, _ in rows if status == "succeeded"}

    def _start(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(self._command, stdout=self._log, stderr=subprocess.STDOUT, env=os.environ.copy())

    def _restart(self) -> None:
        while True:
            self.deaths.append(self._process.wait())
            if self._stopping.is_set():
                return
            self._process = self._start()


def test_the_providers_book_equals_the_ledger_when_both_workers_die_at_every_step(topics: str, tmp_path: Path) -> None:
    platform = Platform(topics, seed=5, tenants=5)
    platform.open_accounts()
    meter = WorkerProcess(topics, tmp_path / "meter", write_deck(tmp_path / "deck.csv"), **SETTINGS)
    with PaymentWorker(topics, tmp_path / "payments") as payments:
        for step in STEPS:
            platform.emit(500)
            platform.producer.flush()
            meter.start(step + ":kill")
            assert meter.ended() == -signal.SIGKILL
            payments.kill()
        meter.start()
        wait_until("all input is committed and every payment decided", lambda: settled(topics, platform), 120, 0.5)
        meter.kill()
        taken = payments.charged()
    credited: dict[str, int] = {}
    for event in documents(topics, "ledger.v1"):
        entry = event["data"]
        if entry["kind"] == "recharge":
            recharge_id = entry["event_id"].removesuffix("#decided")
            assert recharge_id not in credited, "credited twice"
            credited[recharge_id] = entry["amount_micros"]
    assert credited == taken
    assert len(taken) >= 5
    prove(topics, platform.expected)


def settled(bootstrap: str, platform: Platform) -> bool:
    """Whether all usage is charged and no account needs a payment that is not decided."""
    charges = sum(event["data"]["kind"] == "charge" for event in documents(bootstrap, "ledger.v1"))
    if charges < len(platform.expected.usage):
        return False
    accounts = {account["tenant_id"]: account for account in documents(bootstrap, "account.state.v1")}
    return all(
        account["recharge"]["in_flight"] is None and account["balance_micros"] > account["autopay"]["trigger_micros"]
        for account in accounts.values()
    )
