"""Measures one size of a deployment: a worker that has recovered its state and then works off a backlog.

The order keeps everything else out of the rate. The state is written to the changelogs, the workers recover and survey
it and come to rest. They are frozen while usage is written, and the clock runs from their first commit to the last.
"""

import time
from collections import Counter
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import harness
import httpx
import load
import runs
import state

from processor.contracts import topics
from processor.embedded.broker import EmbeddedBroker, free_port

GROUP = "credits-meter"
READY_S = 400.0
REST_S = 1.0
REST_SHARE = 0.1
"""A worker is at rest when it has used less of its core than this for `REST_S`."""
BACKLOG_S = 300.0
SEED = 3
COMMITS = 'credits_batch_duration_seconds_count{step="commit"}'
WRITTEN = {"ledger": topics.LEDGER, "state": topics.ACCOUNT_STATE, "ids": topics.EVENT_IDS}


class Size(NamedTuple):
    """What a worker has to do with, besides the usage itself."""

    accounts: int = 2000
    ids: int = 0
    partitions: int = harness.PARTITIONS
    prefixes: int = load.ROWS
    processes: int = 1


class Meter:
    """One worker process and where it answers questions about itself."""

    def __init__(self, brokers: str, directory: Path, rates: Path, core: int) -> None:
        directory.mkdir()
        self._url = f"http://127.0.0.1:{(port := free_port())}"
        # Frozen for a minute, it must still be in its group afterwards.
        more = {"CREDITS_METRICS_PORT": str(port), "CREDITS_SESSION_TIMEOUT_S": "90"}
        self.program = harness.worker(brokers, directory, rates, core, **more)

    def metric(self, name: str) -> float:
        """Returns the value of one of its metrics, 0 as long as it is not ready."""
        try:
            if httpx.get(f"{self._url}/ready").is_error:
                return 0.0
            lines = httpx.get(f"{self._url}/metrics").text.splitlines()
        except httpx.TransportError:
            self.program.check()
            return 0.0
        return float(next(line.rpartition(" ")[2] for line in lines if line.startswith(f"{name} ")))


class Together:
    """Several programs as one: what they cost is added up."""

    def __init__(self, programs: list[harness.Program]) -> None:
        self._programs = programs

    def check(self) -> None:
        for program in self._programs:
            program.check()

    def cpu_s(self) -> float:
        return sum(program.cpu_s() for program in self._programs)

    def peak_mib(self) -> int:
        return sum(program.peak_mib() for program in self._programs)

    def memory_mib(self, what: str = "VmRSS") -> int:
        return sum(program.memory_mib(what) for program in self._programs)


def measure(size: Size, records: int, idle_s: float, directory: Path) -> runs.Figures:
    """Returns the figures of one size: `records` usage events of all tenants alike on top of its state."""
    prices, rates = load.deck(size.prefixes), directory / "deck.csv"
    load.write_deck(prices, rates)
    first_at = datetime.now(UTC) - load.WINDOW
    events = load.Events(prices, size.accounts, first_at, load.WINDOW / records, skew=False, seed=SEED)
    with harness.running_broker(size.partitions) as broker, ExitStack() as running:
        state.produce_accounts(broker.bootstrap, events.names)
        state.produce_ids(broker.bootstrap, size.ids, size.partitions)
        began = time.monotonic()
        meters = [
            Meter(broker.bootstrap, directory / str(number), rates, harness.ALL_CORES[number % len(harness.ALL_CORES)])
            for number in range(size.processes)
        ]
        programs = [running.enter_context(meter.program) for meter in meters]
        workers = Together(programs)
        _await_counted(meters, size.accounts)
        ready_s, recovered_peak_mib = time.monotonic() - began, workers.peak_mib()
        _await_rest(workers)
        rest_mib, rest_own_mib = workers.memory_mib(), workers.memory_mib("RssAnon")
        idle_cores = _used(workers, idle_s)
        with ExitStack() as still:
            for program in programs:
                still.enter_context(program.frozen())
            load.preload(broker.bootstrap, events, records)
        figures = _worked_off(workers, broker, records, size.partitions)
        commits = sum(meter.metric(COMMITS) for meter in meters)
        return {
            **size._asdict(),
            **figures,
            "events_per_commit": round(records / commits),
            "ready_s": round(ready_s, 1),
            "idle_cores": round(idle_cores, 4),
            "recovered_peak_mib": recovered_peak_mib,
            "rest_mib": rest_mib,
            "rest_own_mib": rest_own_mib,
            "end_mib": workers.memory_mib(),
            "end_own_mib": workers.memory_mib("RssAnon"),
        }


def _worked_off(workers: Together, broker: EmbeddedBroker, records: int, partitions: int) -> runs.Figures:
    before, began_s, broker_s = _stored(broker), time.monotonic(), harness.cpu_s(broker.pid)
    figures = harness.follow(
        workers, broker.bootstrap, GROUP, topics.USAGE_CALL, records, BACKLOG_S, partitions=partitions
    )
    spent_s = harness.cpu_s(broker.pid) - broker_s
    written = _stored(broker)
    figures["broker_cpu_s_per_million"] = round(spent_s / records * 1e6, 2)
    figures["broker_cores"] = round(spent_s / (time.monotonic() - began_s), 2)
    figures["usage_bytes_per_event"] = round(before[topics.USAGE_CALL] / records, 1)
    for name, topic in WRITTEN.items():
        figures[f"{name}_bytes_per_event"] = round((written[topic] - before[topic]) / records, 1)
    del figures["start_to_first_s"]
    return figures


def _stored(broker: EmbeddedBroker) -> Counter[str]:
    """Returns how many bytes of each topic the broker has on its disk, as compressed by their writers."""
    sizes = Counter[str]()
    for path in (broker.data_dir / "logs").glob("*/*.log"):
        sizes[path.parent.name.rpartition("-")[0]] += path.stat().st_size
    return sizes


def _await_counted(meters: list[Meter], accounts: int) -> None:
    deadline = time.monotonic() + READY_S
    while not all(counted := [meter.metric("credits_accounts") for meter in meters]) or sum(counted) != accounts:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{counted} of {accounts} accounts after {READY_S:.0f} s")
        time.sleep(harness.POLL_S)


def _await_rest(workers: Together) -> None:
    while _used(workers, REST_S) > REST_SHARE:
        workers.check()


def _used(workers: Together, seconds: float) -> float:
    """Returns the cores that are used during the next seconds."""
    began, spent_s = time.monotonic(), workers.cpu_s()
    time.sleep(seconds)
    return (workers.cpu_s() - spent_s) / (time.monotonic() - began)
