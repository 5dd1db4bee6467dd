"""Whatever happens to the broker, the worker gets over it or ends and says why, and every event counts exactly once.

The timeouts are 3 s where a worker's own are 10 s: frozen for 18 s here is frozen for 60 s there.
"""

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from processor.embedded.broker import EmbeddedBroker, free_port
from processor.stream import topics as stream_topics
from processor.stream.faults import Cause, of
from tests.crash.platform import PARTITIONS, Payments, Platform, write_deck
from tests.crash.proof import prove
from tests.crash.workers import WorkerProcess, drained, lag, wait_until
from tests.stream.test_worker import metrics

EVENTS = 3_000
SMALL_BATCHES = {"CREDITS_BATCH_MAX_EVENTS": "400", "CREDITS_CHECKPOINT_INTERVAL_S": "0"}
PATIENT = {"CREDITS_SESSION_TIMEOUT_S": "30", "CREDITS_TRANSACTION_TIMEOUT_S": "10"}
"""Nothing is lost or too late for as long as the test lasts: the fault alone decides."""

SHORT = PATIENT | {"CREDITS_TRANSACTION_TIMEOUT_S": "3"}
"""The same, where the test waits for a transaction to be given up."""


class Meter(WorkerProcess):
    """A worker with metrics, and what it said about its end."""

    def __init__(self, bootstrap: str, directory: Path, **environment: str) -> None:
        self.port = free_port()
        deck = write_deck(directory.with_suffix(".csv"))
        super().__init__(bootstrap, directory, deck, CREDITS_METRICS_PORT=str(self.port), **SMALL_BATCHES | environment)

    def ends_over(self, *causes: Cause, timeout_s: float = 120.0) -> None:
        """Waits for the end; it has the exit code of one of the causes and the log says what to do next."""
        code = self.ended(timeout_s)
        [line] = [line for line in self.log().splitlines() if '"the worker stops itself"' in line]
        said = json.loads(line)
        assert said["cause"] in causes
        assert (code, said["next_step"]) == (of(said["cause"]).exit_code, of(said["cause"]).next_step)

    def refused(self, *words: str) -> None:
        """Starts it: it ends with 1 and says these words."""
        self.start()
        assert self.ended() == 1
        assert [word for word in words if word not in self.log()] == []

    def has_stopped_over(self, cause: Cause) -> None:
        """Waits until the present process tells Prometheus that one before it stopped over this, once."""
        wait_until("the stop is counted", lambda: metrics(self.port).get(f"credits_worker_stops_total:{cause}") == 1)


MeterAt = Callable[..., Meter]


@pytest.fixture
def meter_at() -> Iterator[MeterAt]:
    """Makes workers that are gone when the test is over, however it ends."""
    made: list[Meter] = []

    def make(bootstrap: str, directory: Path, **environment: str) -> Meter:
        made.append(Meter(bootstrap, directory, **environment))
        return made[-1]

    yield make
    for meter in made:
        if meter.started() and meter.running():
            meter.kill()


def backlog(bootstrap: str, events: int = EVENTS) -> Platform:
    """Funded tenants and usage, all of it on the broker."""
    platform = Platform(bootstrap, seed=17)
    platform.open_accounts()
    platform.emit(events)
    platform.flush()
    return platform


def configure(bootstrap: str, topic: str, setting: str, value: str) -> None:
    entry = ConfigEntry(setting, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    client = AdminClient({"bootstrap.servers": bootstrap})  # must outlive its futures
    [future] = client.incremental_alter_configs([resource]).values()
    future.result()


def test_a_broker_that_is_restarted_under_load_is_waited_for_or_ends_the_worker_with_75(
    own: EmbeddedBroker, tmp_path: Path, meter_at: MeterAt
) -> None:
    platform = backlog(own.bootstrap)
    meter = meter_at(own.bootstrap, tmp_path / "a", **PATIENT).start()
    with Payments(own.bootstrap, platform):
        wait_until("some input committed", lambda: lag(own.bootstrap) < EVENTS)
        own.restart()
        platform.emit(EVENTS)
        platform.flush()
        drained(own.bootstrap, meter)
    assert meter.terminate() == 0
    assert set(meter.deaths) <= {75, 0}
    prove(own.bootstrap, platform.expected)


def test_a_broker_frozen_for_six_transaction_timeouts_ends_the_worker_with_75(
    own: EmbeddedBroker, tmp_path: Path, meter_at: MeterAt
) -> None:
    """The worker waits for three of them, then its supervisor starts it again and again."""
    platform = backlog(own.bootstrap)
    meter = meter_at(own.bootstrap, tmp_path / "a", **SHORT)
    with Payments(own.bootstrap, platform):
        meter.start("B4:2:freeze")
        wait_until("the worker is inside a transaction", meter.frozen)
        os.kill(own.pid, signal.SIGSTOP)
        meter.signal(signal.SIGCONT)
        meter.ends_over("broker_unreachable")
        meter.start()
        assert meter.ended() == 75
        assert "broker cannot be reached" in meter.log()
        os.kill(own.pid, signal.SIGCONT)
        meter.start()
        drained(own.bootstrap, meter)
        meter.has_stopped_over("broker_unreachable")
    meter.kill()
    prove(own.bootstrap, platform.expected)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 MB that a test can fill."""
    mounted = tmp_path / "disk"
    mounted.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400m", "tmpfs", str(mounted)], check=False)
    if done.returncode:
        pytest.skip("a file system can be mounted by root only")
    yield mounted
    subprocess.run(["umount", "--lazy", str(mounted)], check=True)


def fill(disk: Path) -> Path:
    """Takes all space that is left; returns the file to delete."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))
    return ballast


def test_a_worker_whose_own_disk_is_full_ends_with_70_and_goes_on_once_there_is_space(
    own: EmbeddedBroker, small_disk: Path, tmp_path: Path, meter_at: MeterAt
) -> None:
    platform = backlog(own.bootstrap)
    meter = meter_at(own.bootstrap, tmp_path / "a", CREDITS_DATA_DIR=str(small_disk / "data"))
    with Payments(own.bootstrap, platform):
        meter.start("B3:2:freeze")
        wait_until("the worker is about to commit", meter.frozen)
        ballast = fill(small_disk)
        meter.signal(signal.SIGCONT)
        assert meter.ended() == 70
        ballast.unlink()
        meter.start()
        drained(own.bootstrap, meter)
    meter.kill()
    prove(own.bootstrap, platform.expected)


def test_a_second_worker_under_the_same_name_fences_the_first(
    own: EmbeddedBroker, tmp_path: Path, meter_at: MeterAt
) -> None:
    platform = backlog(own.bootstrap)
    first = meter_at(own.bootstrap, tmp_path / "first", CREDITS_INSTANCE="twin")
    second = meter_at(own.bootstrap, tmp_path / "second", CREDITS_INSTANCE="twin")
    with Payments(own.bootstrap, platform):
        first.start("B4:2:freeze")
        wait_until("the worker is inside a transaction", first.frozen)
        second.start()
        drained(own.bootstrap, second)
        first.signal(signal.SIGCONT)
        # What it has produced may have waited for too long by then, before the broker tells it that it is fenced.
        first.ends_over("fenced", "broker_unreachable")
    second.kill()
    prove(own.bootstrap, platform.expected)


def test_a_record_too_large_for_its_topic_ends_the_worker_and_the_next_start_names_the_setting(
    own: EmbeddedBroker, tmp_path: Path, meter_at: MeterAt
) -> None:
    configure(own.bootstrap, "ledger.v1", "max.message.bytes", "4000")
    platform = backlog(own.bootstrap)
    meter = meter_at(own.bootstrap, tmp_path / "a", **PATIENT)
    with Payments(own.bootstrap, platform):
        configure(own.bootstrap, "ledger.v1", "max.message.bytes", "1048588")
        meter.start("B3:2:freeze")
        wait_until("the worker is about to commit", meter.frozen)
        configure(own.bootstrap, "ledger.v1", "max.message.bytes", "1000")
        meter.signal(signal.SIGCONT)
        meter.ends_over("record_too_large")
        meter.refused("ledger.v1 has max.message.bytes=1000", "credits topics apply")
        assert not stream_topics.apply(own.bootstrap, PARTITIONS, 1).problems
        meter.start()
        drained(own.bootstrap, meter)
        meter.has_stopped_over("record_too_large")
    meter.kill()
    prove(own.bootstrap, platform.expected)
