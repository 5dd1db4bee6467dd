"""A course of faults under load, chosen by a seed."""

import itertools
import random
import signal
import threading
import time
from collections import Counter

from processor.embedded.broker import EmbeddedBroker
from tests.crash.figures import EXITS, Figures
from tests.crash.platform import Payments, Platform
from tests.crash.workers import SESSION_TIMEOUT_S, WorkerProcess, holds_partitions, lag, wait_until

EVENTS_PER_S = 1_000
HURRIED_EVENTS_PER_S = 3_000
"""Until `UNIQUE_EVENTS` are out."""

OPENING = ("kill", "scale", "kill", "broker kill", "rolling restart", "freeze", "scale", "kill", "broker restart")
"""However short the run, each fault happens."""

UNIQUE_EVENTS = 200_000
DUPLICATES = 0.055
LEAST = Counter(kill=10, freeze=2)
"""What no run does without; the faults that the opening lacks strike two workers."""

WEIGHTS = {"kill": 82, "freeze": 5, "scale": 6, "rolling restart": 4, "broker kill": 2, "broker restart": 1}
"""What happens behind those, and how often."""

PATIENCE_S = 300.0
"""How long anything may take on a machine that has much else to do."""

SIZES = (4, 1, 3, 2)
"""The numbers of workers between which the group is scaled, in turns."""


class Load:
    """Emits paced usage in the background while it is entered."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._emit, daemon=True)

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join()

    def _emit(self) -> None:
        due = time.monotonic()
        while not self._enough.is_set():
            self._platform.emit(100)
            due += 100 / (EVENTS_PER_S if self._platform.usage_emitted() >= UNIQUE_EVENTS else HURRIED_EVENTS_PER_S)
            self._enough.wait(max(due - time.monotonic(), 0))
        self._platform.flush()


class Chaos:
    """Workers of one group, which grows and shrinks, and the faults that strike them and their broker."""

    def __init__(self, broker: EmbeddedBroker, workers: list[WorkerProcess], seed: int, protocol: str) -> None:
        self._broker = broker
        self._protocol = protocol
        self._workers = workers
        self._size = 1
        self._sizes = itertools.cycle(SIZES)
        self._seed = seed
        self._course = random.Random(seed)
        self._done: Counter[str] = Counter()
        self._starts = 0

    def run(self, platform: Platform, seconds: float, kills: int) -> None:
        """Lets faults strike until the time is over and so many workers were killed; then has all input charged.

        The opening strikes in any case, and the least numbers of faults and events are reached.
        """
        until = time.monotonic() + seconds
        self._start(self._workers[0])
        with Payments(self._broker.bootstrap, platform):
            with Load(platform):
                for fault in OPENING:
                    self._strike(fault)
                self._scale(2)
                while lacking := list((LEAST - self._struck()).elements()):
                    self._strike(self._course.choice(lacking))
                while (
                    time.monotonic() < until
                    or self._struck()["kill"] < kills
                    or platform.usage_emitted() < UNIQUE_EVENTS
                ):
                    self._strike(self._course.choices(list(WEIGHTS), list(WEIGHTS.values()))[0])
            wait_until("all input committed", self._drained, PATIENCE_S, pause_s=0.25)
        for worker in self._running():
            assert worker.terminate() == 0

    def __enter__(self) -> "Chaos":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            if worker.started() and worker.running():
                worker.kill()

    def figures(self, platform: Platform, payments: int, seconds: float) -> Figures:
        """Counts what happened."""
        exits = self._deaths()
        del exits[-signal.SIGKILL]
        assert exits.keys() <= EXITS.keys(), exits
        return Figures(
            protocol=self._protocol,
            seed=self._seed,
            seconds=round(seconds),
            kills=self._struck()["kill"],
            freezes=self._done["freeze"],
            rolling_restarts=self._done["rolling restart"],
            scalings=self._done["scale"],
            broker_kills=self._done["broker kill"],
            broker_restarts=self._done["broker restart"],
            process_starts=self._starts,
            rebalances=sum(worker.rebalances for worker in self._workers),
            unique_events=platform.usage_emitted(),
            repeated_events=platform.repeated,
            foreign_partitioner=platform.misrouted,
            records_sent=platform.sent,
            payments=payments,
            exits=dict(exits),
        )

    def _deaths(self) -> Counter[int]:
        """Counts how the processes so far have ended, by exit code."""
        return Counter(code for worker in self._workers for code in worker.deaths)

    def _struck(self) -> Counter[str]:
        """Counts the faults so far; a victim that had ended by itself a moment before was not killed."""
        return Counter({**self._done, "kill": self._deaths()[-signal.SIGKILL]})

    def _strike(self, fault: str) -> None:
        wait_until("a worker owns partitions", lambda: bool(self._owners()), PATIENCE_S)
        victim = self._course.choice(self._owners())
        # Lets it work for a moment; the moment is what the seed varies.
        threading.Event().wait(self._course.uniform(0.0, 1.0))
        if fault == "kill":
            victim.kill()
            self._start(victim)
        elif fault == "freeze":
            if not self._freeze_past_the_session(victim):
                return
        elif fault == "rolling restart":
            for worker in self._running():
                wait_until("the worker owns partitions", lambda: worker in self._owners(), PATIENCE_S)  # noqa: B023
                worker.terminate()
                self._start(worker)
        elif fault == "scale":
            self._scale(next(self._sizes))
        elif fault == "broker kill":
            self._broker.kill()
            self._broker.start()
        elif fault == "broker restart":
            self._broker.restart()
        self._done[fault] += 1

    def _freeze_past_the_session(self, victim: WorkerProcess) -> bool:
        """Stops the worker for longer than its session, then lets it come back as a zombie, which must end itself.

        False for a victim that was none: it had ended by itself, or had given its partitions back at that moment. Then
        it must take partitions over anew.
        """
        victim.signal(signal.SIGSTOP)
        if not victim.running():
            return False
        taken_over = len(victim.adopted())
        threading.Event().wait(2 * SESSION_TIMEOUT_S)
        if self._protocol == "classic":
            wait_until(
                "nothing is the frozen worker's any more",
                lambda: holds_partitions(self._broker.bootstrap, victim) is False,
                PATIENCE_S,
            )
        victim.signal(signal.SIGCONT)
        wait_until(
            "what wakes ends itself or begins anew",
            lambda: not victim.running() or len(victim.adopted()) > taken_over,
            PATIENCE_S,
        )
        if victim.running():
            return False
        assert victim.ended() in (70, 75)
        self._start(victim)
        return True

    def _scale(self, size: int) -> None:
        for worker in self._workers[self._size : size]:
            self._start(worker)
        for worker in self._workers[size : self._size]:
            worker.terminate()
        self._size = size

    def _running(self) -> list[WorkerProcess]:
        """Returns who belongs to the group at its present size."""
        return self._workers[: self._size]

    def _start(self, worker: WorkerProcess) -> None:
        worker.start()
        self._starts += 1

    def _owners(self) -> list[WorkerProcess]:
        """Returns who has partitions; who stopped itself is started again, as in production."""
        self._tend()
        return [worker for worker in self._running() if worker.adopted()]

    def _tend(self) -> None:
        for worker in self._running():
            if not worker.running():
                worker.ended()
                self._start(worker)

    def _drained(self) -> bool:
        self._tend()
        return lag(self._broker.bootstrap) == 0
