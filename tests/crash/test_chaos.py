"""Workers are killed and frozen at random under load; afterwards every event counts exactly once.

`CREDITS_CHAOS_SECONDS` makes the run longer (`make chaos SECONDS=…`), `CREDITS_CHAOS_SEED` chooses another course.
"""

import os
import random
import signal
import threading
import time
from pathlib import Path

from tests.crash.platform import Payments, Platform, write_deck
from tests.crash.proof import prove
from tests.crash.workers import SESSION_TIMEOUT_S, WorkerProcess, lag, wait_until

UNIQUE_EVENTS = 200_000
KILLS = 10
FREEZES = 2
EVENTS_PER_S = 5_000


class Load:
    """Emits paced usage in the background until it is told to stop and its minimum is reached."""

    def __init__(self, platform: Platform, minimum: int) -> None:
        self._platform = platform
        self._minimum = minimum
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._emit, daemon=True)
        self.unique = 0

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join()

    def _emit(self) -> None:
        began = time.monotonic()
        while not self._enough.is_set() or self.unique < self._minimum:
            self._platform.emit(100)
            self.unique += 100
            ahead_s = self.unique / EVENTS_PER_S - (time.monotonic() - began)
            if ahead_s > 0 and not self._enough.is_set():
                self._enough.wait(ahead_s)
        self._platform.producer.flush()


def test_random_kills_and_freezes_under_load_neither_lose_nor_double_an_event(topics: str, tmp_path: Path) -> None:
    course = random.Random(int(os.environ.get("CREDITS_CHAOS_SEED", "20261122")))
    until = time.monotonic() + float(os.environ.get("CREDITS_CHAOS_SECONDS", "0"))
    deck = write_deck(tmp_path / "deck.csv")
    workers = [WorkerProcess(topics, tmp_path / name, deck).start() for name in "ab"]
    platform = Platform(topics, seed=7, tenants=300)
    platform.open_accounts()
    kills = freezes = 0
    with Payments(topics, platform), Load(platform, UNIQUE_EVENTS):
        while kills < KILLS or freezes < FREEZES or time.monotonic() < until:
            victim = course.choice(workers)
            working(victim)
            course_pause(course)
            # The freezes come third and seventh, then at random: both happen however short the run.
            if kills + freezes in (2, 6) or course.random() < 0.1:
                freeze_past_the_session(victim)
                freezes += 1
            else:
                victim.kill()
                kills += 1
                victim.start()
    drained(topics, workers)
    for worker in workers:
        assert worker.terminate() == 0
    prove(topics, platform.expected)
    deaths = [code for worker in workers for code in worker.deaths]
    print(f"\n{kills} kills, {freezes} freezes, {len(platform.expected.usage)} unique events of {platform.sent} sent")
    assert set(deaths) <= {-signal.SIGKILL, 70, 0}
    assert deaths.count(-signal.SIGKILL) == kills >= KILLS


def working(worker: WorkerProcess) -> None:
    """Waits until the worker owns partitions; one that stopped itself is started again, as in production."""

    def owns() -> bool:
        if not worker.running():
            worker.ended()
            worker.start()
        return bool(worker.adopted())

    wait_until("the worker owns partitions", owns)


def course_pause(course: random.Random) -> None:
    """Lets the worker work for a moment; the moment is what the seed varies."""
    threading.Event().wait(course.uniform(0.0, 1.5))


def freeze_past_the_session(worker: WorkerProcess) -> None:
    """Stops the worker for longer than its session, then lets it come back as a zombie, which must end itself."""
    worker.signal(signal.SIGSTOP)
    threading.Event().wait(2 * SESSION_TIMEOUT_S)
    worker.signal(signal.SIGCONT)
    assert worker.ended() == 70
    worker.start()


def drained(bootstrap: str, workers: list[WorkerProcess]) -> None:
    """Waits until every input record is committed, results of the last recharges included."""

    def empty() -> bool:
        for worker in workers:
            working(worker)
        return lag(bootstrap) == 0

    wait_until("all input committed", empty, 180)


def test_three_workers_share_eight_partitions_with_all_their_topics_together(topics: str, tmp_path: Path) -> None:
    deck = write_deck(tmp_path / "deck.csv")
    workers = [WorkerProcess(topics, tmp_path / name, deck).start() for name in "abc"]
    wait_until("every partition has one owner", lambda: shared(workers) == set(range(8)))
    platform = Platform(topics, seed=3)
    platform.open_accounts()
    with Payments(topics, platform):
        platform.emit(5_000)
        platform.producer.flush()
        drained(topics, workers)
    assert all(worker.running() and not worker.deaths for worker in workers)
    for worker in workers:
        worker.kill()
    prove(topics, platform.expected)


def shared(workers: list[WorkerProcess]) -> set[int]:
    """Returns the union of what three workers own, once it is split between all of them."""
    owned = [worker.adopted()[-1] for worker in workers if worker.adopted()]
    split = len(owned) == 3 and sum(map(len, owned)) == 8
    return set().union(*owned) if split else set()
