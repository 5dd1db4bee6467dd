"""The payment provider's own book of charges is the ledger's list of recharges, whoever was killed in between."""

import itertools
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import get_args

import pytest

from processor.payments.cashier import Step
from processor.payments.simulated import SimulatedProvider
from tests.crash.platform import Platform, write_deck
from tests.crash.proof import documents, prove
from tests.crash.steps import EVERY_STEP, SMALL_BATCHES, die_after
from tests.crash.workers import WorkerProcess, drained, wait_until
from tests.stream import dying_payment_worker

SETTINGS = {
    "CREDITS_RECHARGE_DEADLINE_S": "2",
    "CREDITS_RECHARGE_BACKOFF_S": "1",
    "CREDITS_RECHARGE_BACKOFF_MAX_S": "1",
    "CREDITS_SUSPEND_AFTER_FAILURES": "1000",
}
PAYMENT_STEPS: tuple[Step, ...] = get_args(Step)
TROUBLE = "0.2"


class PaymentWorker:
    """A payment worker that dies after one step of its protocol, is restarted and dies after the next, until spared.

    Its provider declines and loses answers.
    """

    def __init__(self, bootstrap: str, directory: Path) -> None:
        directory.mkdir()
        self.books = directory / "books.sqlite"
        inbox = f"sqlite:///{directory}/inbox.sqlite"
        self._command = [sys.executable, dying_payment_worker.__file__, bootstrap, "payments", "one", inbox]
        self._log = (directory / "log").open("wb")
        self._steps = itertools.cycle(PAYMENT_STEPS)
        self._spared, self._stopping = threading.Event(), threading.Event()
        self._starting = threading.Lock()
        self._start(next(self._steps))
        self._supervisor = threading.Thread(target=self._restart, daemon=True)
        self.died_at: set[str] = set()

    def __enter__(self) -> "PaymentWorker":
        self._supervisor.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._starting:
            self._stopping.set()
            self._process.kill()
        self._supervisor.join()
        self._log.close()

    def spare(self) -> None:
        """Lets the next process live."""
        self._spared.set()

    def charged(self) -> dict[str, int]:
        """What the provider took, in micros, by recharge id."""
        provider = SimulatedProvider(str(self.books))
        rows = provider.charges()
        provider.close()
        return {recharge_id: amount for recharge_id, status, amount, _ in rows if status == "succeeded"}

    def _start(self, fatal: str) -> None:
        self._fatal = fatal
        command = [*self._command, str(self.books), fatal, "1", TROUBLE]
        self._process = subprocess.Popen(command, stdout=self._log, stderr=subprocess.STDOUT)

    def _restart(self) -> None:
        while True:
            code = self._process.wait()
            with self._starting:
                if self._stopping.is_set():
                    return
                if code == -signal.SIGKILL:
                    self.died_at.add(self._fatal)
                self._start("none" if self._spared.is_set() else next(self._steps))


@pytest.mark.timeout(600)
def test_the_providers_book_equals_the_ledger_when_both_workers_die_at_every_step(topics: str, tmp_path: Path) -> None:
    platform = Platform(topics, seed=5, tenants=5)
    platform.open_accounts()
    deck = write_deck(tmp_path / "deck.csv")
    meter = WorkerProcess(topics, tmp_path / "meter", deck, **SETTINGS, **SMALL_BATCHES)
    with PaymentWorker(topics, tmp_path / "payments") as payments:
        for step in EVERY_STEP:
            die_after(step, topics, platform, meter)
        meter.start()
        drained(topics, meter)
        wait_until("the payment worker has died at every step", lambda: payments.died_at == set(PAYMENT_STEPS))
        payments.spare()
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
