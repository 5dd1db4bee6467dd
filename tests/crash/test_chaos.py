"""Workers and their broker are killed, frozen and restarted at random under load; every event counts exactly once.

`make chaos SECONDS=… KILLS=… SEED=… PROTOCOL=… REPORT=…` makes the run longer, chooses another course or group
protocol and writes the figures to a file.
"""

import os
import time
from pathlib import Path

import pytest

from processor.embedded.broker import EmbeddedBroker
from tests.crash.chaos import DUPLICATES, LEAST, UNIQUE_EVENTS, Chaos
from tests.crash.figures import table
from tests.crash.platform import Payments, Platform, write_deck
from tests.crash.proof import documents, prove
from tests.crash.workers import WorkerProcess, drained, wait_until

SECONDS = float(os.environ.get("CREDITS_CHAOS_SECONDS", "120"))
KILLS = int(os.environ.get("CREDITS_CHAOS_KILLS", "0"))
SEED = int(os.environ.get("CREDITS_CHAOS_SEED", "20261122"))
PROTOCOL = os.environ.get("CREDITS_CHAOS_PROTOCOL", "classic")
REPORT = os.environ.get("CREDITS_CHAOS_REPORT")


@pytest.mark.timeout(900 + 2 * SECONDS + 10 * KILLS)
def test_random_faults_under_load_neither_lose_nor_double_an_event(own: EmbeddedBroker, tmp_path: Path) -> None:
    began = time.monotonic()
    deck = write_deck(tmp_path / "deck.csv")
    settings = {"CREDITS_GROUP_PROTOCOL": PROTOCOL}
    workers = [WorkerProcess(own.bootstrap, tmp_path / name, deck, **settings) for name in "abcd"]
    platform = Platform(own.bootstrap, SEED, tenants=300, duplicates=DUPLICATES, misrouted=0.02, fundings=0.001)
    platform.open_accounts()
    with Chaos(own, workers, SEED, PROTOCOL) as chaos:
        chaos.run(platform, SECONDS, KILLS)
    prove(own.bootstrap, platform.expected)
    payments = sum(
        event["data"]["kind"] == "recharge.succeeded" for event in documents(own.bootstrap, "notifications.v1")
    )
    figures = chaos.figures(platform, payments, time.monotonic() - began)
    print("\n" + table(figures))
    assert figures.kills >= LEAST["kill"]
    assert figures.freezes >= LEAST["freeze"]
    assert figures.unique_events >= UNIQUE_EVENTS
    assert figures.repeated_events >= UNIQUE_EVENTS // 20
    if REPORT:
        figures.write(Path(REPORT))


def test_three_workers_share_eight_partitions_with_all_their_topics_together(topics: str, tmp_path: Path) -> None:
    deck = write_deck(tmp_path / "deck.csv")
    workers = [WorkerProcess(topics, tmp_path / name, deck).start() for name in "abc"]
    wait_until("every partition has one owner", lambda: shared(workers) == set(range(8)))
    platform = Platform(topics, seed=3)
    platform.open_accounts()
    with Payments(topics, platform):
        platform.emit(5_000)
        platform.producer.flush()
        drained(topics, *workers)
    assert all(worker.running() and not worker.deaths for worker in workers)
    for worker in workers:
        worker.kill()
    prove(topics, platform.expected)


def shared(workers: list[WorkerProcess]) -> set[int]:
    """Returns the union of what three workers own, once it is split between all of them."""
    owned = [worker.adopted()[-1] for worker in workers if worker.adopted()]
    split = len(owned) == 3 and sum(map(len, owned)) == 8
    return set().union(*owned) if split else set()
