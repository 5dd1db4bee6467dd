"""A worker that is told to stop ends in time, whatever has become of its broker."""

import os
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from processor.embedded.broker import EmbeddedBroker, free_port
from tests.crash.platform import Platform, write_deck
from tests.crash.workers import WorkerProcess, wait_until

TIMEOUT_S = 3


def status(port: int, path: str) -> int:
    """Returns the status of a probe; 0 while nothing listens."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as page:
            return int(page.status)
    except urllib.error.HTTPError as refused:
        return refused.code
    except OSError:
        return 0


@contextmanager
def started(own: EmbeddedBroker, directory: Path, port: int, **environment: str) -> Iterator[WorkerProcess]:
    deck = write_deck(directory / "deck.csv")
    settings = {
        "CREDITS_METRICS_PORT": str(port),
        "CREDITS_SHUTDOWN_TIMEOUT_S": str(TIMEOUT_S),
        # Longer than the test: nothing but the budget may end the process.
        "CREDITS_SESSION_TIMEOUT_S": "60",
        "CREDITS_TRANSACTION_TIMEOUT_S": "60",
    }
    worker = WorkerProcess(own.bootstrap, directory / "a", deck, **settings, **environment).start()
    try:
        wait_until("the worker is ready", lambda: status(port, "/ready") == 200)
        yield worker
    finally:
        if worker.running():
            worker.kill()


def test_a_worker_is_live_and_ready_and_ends_with_0_while_its_broker_is_there(
    own: EmbeddedBroker, tmp_path: Path
) -> None:
    port = free_port()
    with started(own, tmp_path, port) as worker:
        assert status(port, "/live") == 200
        assert worker.terminate() == 0


@pytest.mark.parametrize("fate", [signal.SIGSTOP, signal.SIGKILL])
def test_a_worker_in_the_middle_of_a_commit_ends_with_70_when_its_broker_freezes_or_dies(
    own: EmbeddedBroker, tmp_path: Path, fate: signal.Signals
) -> None:
    with started(own, tmp_path, free_port(), CREDITS_FAILPOINT="B4:1:freeze") as worker:
        platform = Platform(own.bootstrap, seed=5, tenants=20)
        platform.open_accounts()
        wait_until("the worker is inside a transaction", worker.frozen)
        os.kill(own.pid, fate)
        worker.signal(signal.SIGCONT)
        worker.signal(signal.SIGTERM)
        assert worker.ended() == 70
        assert "the time for stopping is over" in worker.log()
    if fate == signal.SIGSTOP:
        os.kill(own.pid, signal.SIGCONT)
