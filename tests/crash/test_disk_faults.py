"""A disk that is full, the worker's own or the broker's, ends the worker; with space it goes on where it was."""

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from processor.embedded.broker import EmbeddedBroker
from tests.crash.meters import EVENTS, SHORT, MeterAt, declared, usage
from tests.crash.workers import drained, wait_until


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
    meter = meter_at(own.bootstrap, tmp_path / "a", CREDITS_DATA_DIR=str(small_disk / "data"))
    with usage(own.bootstrap):
        meter.start("B3:2:freeze")
        wait_until("the worker is about to commit", meter.frozen)
        ballast = fill(small_disk)
        meter.signal(signal.SIGCONT)
        assert meter.ended() == 70
        ballast.unlink()
        meter.start()
        drained(own.bootstrap, meter)
        meter.kill()


def test_a_broker_whose_disk_is_full_ends_the_worker_with_75_and_both_go_on_once_there_is_space(
    kafka_fetched: None, small_disk: Path, tmp_path: Path, meter_at: MeterAt
) -> None:
    """Kafka stops itself when it cannot write to the only disk that it has."""
    with declared(EmbeddedBroker(data_dir=small_disk / "broker")) as broker:
        meter = meter_at(broker.bootstrap, tmp_path / "a", **SHORT)
        with usage(broker.bootstrap) as platform:
            meter.start("B3:2:freeze")
            wait_until("the worker is about to commit", meter.frozen)
            ballast = fill(small_disk)
            meter.signal(signal.SIGCONT)
            meter.ends_over("broker_unreachable")
            broker.kill()
            ballast.unlink()
            broker.start()
            platform.send(EVENTS)
            meter.goes_on("broker_unreachable")
