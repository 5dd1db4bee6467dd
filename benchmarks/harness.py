"""Runs one program under measurement: pinned to a core, timed by the offsets it commits."""

import os
import platform
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaException, TopicPartition

from processor.embedded.broker import EmbeddedBroker
from processor.stream import topics as stream_topics

PARTITIONS = 8
GROUP = "credits-meter"
POLL_S = 0.05
ALL_CORES = sorted(os.sched_getaffinity(0))
WORK_CORE, HARNESS_CORE = ALL_CORES[0], ALL_CORES[-1]


@contextmanager
def fresh_broker() -> Iterator[str]:
    """A broker of its own with empty topics, on whatever core the system gives it; yields its address."""
    with running_broker() as broker:
        yield broker.bootstrap


@contextmanager
def running_broker(partitions: int = PARTITIONS) -> Iterator[EmbeddedBroker]:
    """The same, for those who want to know more of it than its address."""
    os.sched_setaffinity(0, ALL_CORES)
    with EmbeddedBroker(heap="1g", quick=False) as broker:
        applied = stream_topics.apply(broker.bootstrap, partitions, 1)
        assert not applied.problems, applied.problems
        yield broker


class Program:
    """A child process alone on its core; `log` holds what it said."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path, core: int = WORK_CORE) -> None:
        self.log = log
        os.sched_setaffinity(0, {core})  # inherited by the child
        try:
            with log.open("ab") as out:
                self._process = subprocess.Popen(
                    command, env={**os.environ, **environment}, stdout=out, stderr=out, start_new_session=True
                )
        finally:
            os.sched_setaffinity(0, {HARNESS_CORE})

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def __enter__(self) -> "Program":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def check(self) -> None:
        """Raises when the program has ended, with its last words."""
        if self._process.poll() is not None:
            raise RuntimeError(f"it ended with {self._process.returncode}:\n{self.log.read_text()[-3000:]}")

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Lets the program do nothing for as long as something else needs the machine."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def cpu_s(self) -> float:
        """User and system time so far."""
        return cpu_s(self._process.pid)

    def peak_mib(self) -> int:
        """The largest resident memory so far."""
        return memory_mib(self._process.pid, "VmHWM")

    def memory_mib(self, what: str = "VmRSS") -> int:
        """The resident memory now; `RssAnon` is what cannot be had back by reading a file again."""
        return memory_mib(self._process.pid, what)


def cpu_s(pid: int) -> float:
    """Returns the user and system time of a process so far, of all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mib(pid: int, what: str) -> int:
    """Returns what the kernel says of a process: `VmRSS` now, `VmHWM` at most, `RssAnon` without mapped files."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition(f"{what}:")[2].split()[0]) // 1024


def worker(brokers: str, directory: Path, rates: Path, core: int = WORK_CORE, **more: str) -> Program:
    """Starts the meter as a user would, with one process; the directory is its own."""
    environment = {
        "CREDITS_BROKERS": brokers,
        "CREDITS_DATA_DIR": str(directory / "data"),
        "CREDITS_RATES": str(rates),
        "CREDITS_METRICS_PORT": "0",
        **more,
    }
    command = [sys.executable, "-m", "processor.cli", "worker", "--processes", "1"]
    return Program(command, environment, directory / "worker.log", core)


class Point(NamedTuple):
    """How far the program was at a time, and what that had cost."""

    at_s: float
    records: int
    cpu_s: float


def follow(
    program: Program,
    brokers: str,
    group: str,
    topic: str,
    total: int,
    timeout_s: float,
    watch: Callable[[Point], None] = lambda _: None,
    partitions: int = PARTITIONS,
) -> dict[str, float]:
    """Polls the group's committed offsets until all records are done; rates count from the first commit to the last.

    `watch` sees every look.
    """
    began_s = time.monotonic()
    first = half = last = None
    with committed(brokers, group, topic, partitions) as read:
        while last is None:
            time.sleep(POLL_S)
            program.check()
            point = Point(time.monotonic(), read(), program.cpu_s())
            watch(point)
            if first is None and point.records:
                first = point
            if half is None and point.records >= total / 2:
                half = point
            if point.records >= total:
                last = point
            elif point.at_s - began_s > timeout_s:
                raise TimeoutError(f"{point.records} of {total} records after {timeout_s:.0f} s")
    assert first is not None
    assert half is not None
    return {
        "records": total,
        "events_per_s": _rate(first, last),
        "events_per_s_second_half": _rate(half, last),
        "cpu_s_per_million": round((last.cpu_s - first.cpu_s) / max(last.records - first.records, 1) * 1e6, 2),
        "start_to_first_s": round(first.at_s - began_s, 2),
        "peak_mib": program.peak_mib(),
    }


@contextmanager
def committed(brokers: str, group: str, topic: str, partitions: int = PARTITIONS) -> Iterator[Callable[[], int]]:
    """Yields a function that returns how many records of the topic the group has committed."""
    # read_uncommitted: offsets as they are, without waiting for those of an open transaction
    watcher = Consumer(
        {"bootstrap.servers": brokers, "group.id": group, "isolation.level": "read_uncommitted", "log_level": 0}
    )
    places = [TopicPartition(topic, partition) for partition in range(partitions)]

    def read() -> int:
        try:
            return sum(max(place.offset, 0) for place in watcher.committed(places, timeout=5))
        except KafkaException:
            return 0

    try:
        yield read
    finally:
        watcher.close()


def _rate(earlier: Point, later: Point) -> int:
    """Records a second; everything in one commit has no rate."""
    return round((later.records - earlier.records) / (later.at_s - earlier.at_s)) if later.at_s > earlier.at_s else 0


def machine() -> dict[str, str | int]:
    """What the figures depend on."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    return {
        "cpu": cpu[1] if cpu else platform.machine(),
        "cores": len(ALL_CORES),
        "memory_gib": round(int(memory[1]) / 2**20) if memory else 0,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }
