"""The process dies, or freezes, exactly after each step of the commit protocol, and the books stay right."""

import signal
from pathlib import Path

import pytest

from tests.crash.platform import Payments, Platform, write_deck
from tests.crash.proof import prove
from tests.crash.workers import WorkerProcess, drained, lag, wait_until

EVENTS = 6_000
SMALL_BATCHES = {"CREDITS_BATCH_MAX_EVENTS": "400", "CREDITS_CHECKPOINT_INTERVAL_S": "0"}
"""Many cycles, each of which is in the local checkpoint soon after its commit."""


@pytest.fixture
def platform(topics: str) -> Platform:
    """A backlog of funded tenants and usage with duplicates."""
    made = Platform(topics, seed=11)
    made.open_accounts()
    made.emit(EVENTS)
    made.producer.flush()
    return made


@pytest.mark.parametrize(
    "failpoint",
    ["W1:1", "A1:1", "A2:1", "A3:1", "B1:3", "B2:3", "B3:3", "B4:3", "B5:3", "B6:3", "B7:3"],
)
def test_a_worker_that_dies_after_this_step_and_restarts_neither_loses_nor_doubles(
    topics: str, platform: Platform, tmp_path: Path, failpoint: str
) -> None:
    worker = WorkerProcess(topics, tmp_path / "a", write_deck(tmp_path / "deck.csv"), **SMALL_BATCHES)
    with Payments(topics, platform):
        worker.start(failpoint + ":kill")
        assert worker.ended() == -signal.SIGKILL
        worker.start()
        drained(topics, worker)
    worker.kill()
    prove(topics, platform.expected)


def test_a_worker_that_dies_while_it_lets_its_partitions_go_neither_loses_nor_doubles(
    topics: str, platform: Platform, tmp_path: Path
) -> None:
    worker = WorkerProcess(topics, tmp_path / "a", write_deck(tmp_path / "deck.csv"), **SMALL_BATCHES)
    with Payments(topics, platform):
        worker.start("R1:1:kill")
        wait_until("some input committed", lambda: lag(topics) < EVENTS)
        assert worker.terminate() == -signal.SIGKILL
        worker.start()
        drained(topics, worker)
        assert worker.terminate() == 0
    prove(topics, platform.expected)


@pytest.mark.parametrize("step", ["B4", "B5"])
def test_a_worker_frozen_inside_a_transaction_is_succeeded_and_refused_when_it_wakes(
    topics: str, platform: Platform, tmp_path: Path, step: str
) -> None:
    deck = write_deck(tmp_path / "deck.csv")
    zombie = WorkerProcess(topics, tmp_path / "zombie", deck, **SMALL_BATCHES)
    successor = WorkerProcess(topics, tmp_path / "successor", deck, **SMALL_BATCHES)
    with Payments(topics, platform):
        zombie.start(f"{step}:3:freeze")
        wait_until("the worker is frozen", zombie.frozen)
        successor.start()
        drained(topics, successor)
        zombie.signal(signal.SIGCONT)
        assert zombie.ended() == 70
        drained(topics, successor)
    successor.kill()
    prove(topics, platform.expected)
