"""The process dies, or freezes, exactly after each step of the commit protocol, and the books stay right.

`make matrix` does all of it with the KIP-848 group protocol, too.
"""

import signal
from pathlib import Path

import pytest

from tests.crash.platform import Payments, Platform, write_deck
from tests.crash.proof import prove
from tests.crash.steps import AT_THE_END, EVERY_STEP, SMALL_BATCHES, die_after
from tests.crash.workers import WorkerProcess, drained, wait_until

EVENTS = 4_000
REFUSED = (70, 75)
"""What a zombie ends with: the broker has refused it, or its records have become too old to be delivered."""

KILLS = [
    pytest.param(
        protocol,
        step,
        marks=[pytest.mark.matrix] if protocol == "consumer" and step not in ("B5:2", AT_THE_END) else [],
    )
    for protocol in ("classic", "consumer")
    for step in EVERY_STEP
]
"""With KIP-848 an open transaction and the hand-over, which differ from those of the classic protocol."""


@pytest.fixture
def platform(topics: str) -> Platform:
    """A backlog of funded tenants and usage with duplicates."""
    made = Platform(topics, seed=11)
    made.open_accounts()
    made.emit(EVENTS)
    made.flush()
    return made


def meter(bootstrap: str, directory: Path, protocol: str) -> WorkerProcess:
    deck = write_deck(directory.with_suffix(".csv"))
    return WorkerProcess(bootstrap, directory, deck, **SMALL_BATCHES, CREDITS_GROUP_PROTOCOL=protocol)


@pytest.mark.parametrize(("protocol", "failpoint"), KILLS)
def test_a_worker_that_dies_after_this_step_and_restarts_neither_loses_nor_doubles(
    topics: str, platform: Platform, tmp_path: Path, protocol: str, failpoint: str
) -> None:
    worker = meter(topics, tmp_path / "a", protocol)
    with Payments(topics, platform):
        die_after(failpoint, topics, platform, worker)
        worker.start()
        drained(topics, worker)
    worker.kill()
    prove(topics, platform.expected)


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
@pytest.mark.parametrize("step", ["B4", "B5"])
def test_a_worker_frozen_inside_a_transaction_is_succeeded_and_refused_when_it_wakes(
    topics: str, platform: Platform, tmp_path: Path, protocol: str, step: str
) -> None:
    zombie = meter(topics, tmp_path / "zombie", protocol)
    successor = meter(topics, tmp_path / "successor", protocol)
    with Payments(topics, platform):
        zombie.start(f"{step}:3:freeze")
        wait_until("the worker is frozen", zombie.frozen)
        successor.start()
        drained(topics, successor)
        zombie.signal(signal.SIGCONT)
        assert zombie.ended() in REFUSED
        drained(topics, successor)
    successor.kill()
    prove(topics, platform.expected)
