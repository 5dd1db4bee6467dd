"""`credits worker` as an operator meets it: start-up errors, metrics, supervision, a clean end."""

import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from processor.embedded.broker import free_port
from tests.crash.platform import Payments, Platform, write_deck
from tests.crash.proof import prove
from tests.crash.workers import lag, wait_until


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "processor.cli", "worker", *arguments]


def refused(directory: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    done = subprocess.run(
        command("--data-dir", str(directory), *arguments),
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr


def test_without_a_broker_it_exits_75_and_says_how_to_start_one(tmp_path: Path) -> None:
    code, said = refused(tmp_path, "--processes", "1", "--brokers", f"127.0.0.1:{free_port()}")
    assert code == 75
    assert "credits kafka up" in said


def test_without_topics_it_exits_1_and_names_the_command_that_creates_them(topics: str, tmp_path: Path) -> None:
    from tests.conftest import delete_topics

    delete_topics(topics)
    code, said = refused(tmp_path, "--processes", "1", "--brokers", topics)
    assert code == 1
    assert "credits topics apply" in said


def test_a_data_directory_in_use_is_refused(topics: str, tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        code, said = refused(tmp_path, "--processes", "1", "--brokers", topics, "--metrics-port", "0")
    assert code == 1
    assert "--data-dir" in said


def test_a_metrics_port_in_use_is_refused(topics: str, tmp_path: Path) -> None:
    with socket.socket() as held:
        held.bind(("0.0.0.0", 0))  # noqa: S104 - as the worker would
        held.listen()
        port = str(held.getsockname()[1])
        code, said = refused(tmp_path, "--processes", "1", "--brokers", topics, "--metrics-port", port)
    assert code == 1
    assert "--metrics-port" in said


def test_a_deck_with_mistakes_is_refused_with_its_line_numbers(topics: str, tmp_path: Path) -> None:
    deck = tmp_path / "deck.csv"
    deck.write_text("prefix,destination,type,country,rate_per_min\n44,UK,mobile,GB,cheap\n")
    code, said = refused(tmp_path / "d", "--processes", "1", "--brokers", topics, "--rates", str(deck))
    assert code == 1
    assert "line 2" in said


@pytest.fixture
def supervised(topics: str, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int, Path]]:
    """Two supervised worker processes with metrics."""
    port = free_port()
    log = tmp_path / "workers.log"
    arguments = ["--processes", "2", "--brokers", topics, "--metrics-port", str(port), "--data-dir", str(tmp_path)]
    arguments += ["--rates", str(write_deck(tmp_path / "deck.csv"))]
    environment = os.environ | {"CREDITS_MINIMUM_FUNDING_MICROS": "1", "CREDITS_SESSION_TIMEOUT_S": "3"}
    with log.open("w") as out, subprocess.Popen(command(*arguments), stdout=out, stderr=out, env=environment) as run:
        yield run, port, log  # type: ignore[misc]
        if run.poll() is None:
            run.terminate()
            run.wait(30)


def metrics(port: int) -> dict[str, float]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as page:
            text = page.read().decode()
    except OSError:
        return {}
    return {
        sample.name + "".join(f":{value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_two_processes_share_the_work_restart_when_killed_and_end_cleanly(
    topics: str, supervised: tuple[subprocess.Popen[str], int, Path]
) -> None:
    run, port, log = supervised

    def owned() -> list[float]:
        return [metrics(port + index).get("credits_assigned_partitions", 0) for index in (0, 1)]

    wait_until("both own partitions", lambda: owned() == [4, 4])
    platform = Platform(topics, seed=9, tenants=40)
    platform.open_accounts()
    with Payments(topics, platform):
        platform.emit(3_000)
        platform.producer.flush()
        children = subprocess.run(["pgrep", "-P", str(run.pid)], capture_output=True, text=True, check=True)
        os.kill(int(children.stdout.split()[0]), signal.SIGKILL)
        wait_until("the killed one is back", lambda: "worker process ended" in log.read_text() and min(owned()) > 0)
        platform.emit(3_000)
        platform.producer.flush()
        wait_until("all input committed", lambda: lag(topics) == 0)
        counted = metrics(port + 1)
    run.terminate()
    assert run.wait(30) == 0
    prove(topics, platform.expected)
    assert counted["credits_events_consumed_total:usage.call.v1"] > 0
    assert counted["credits_events_total:call:charged"] > 0
    assert counted["credits_event_age_seconds_count"] > 0
    assert not [name for name in counted if re.search(r"tenant-|\+?\d{6,}", name)]
