"""A worker takes new prices while it works: from a changed file and on SIGHUP, never from a file with mistakes."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from processor.contracts.decks import load
from processor.embedded.broker import free_port
from tests.crash.platform import RATES, Platform
from tests.crash.proof import documents
from tests.crash.workers import lag, wait_until
from tests.stream.test_worker import command, metrics

EVENTS = 100


def write(path: Path, factor: int) -> str:
    """Replaces the deck as documented, with prices that are a multiple of the tests' own; returns its stamp."""
    rows = [f"{prefix},Place {prefix},landline,ZZ,{factor * rate / 1e6:.6f}" for prefix, rate in RATES.items()]
    fresh = path.with_suffix(".new")
    fresh.write_text("\n".join(["prefix,destination,type,country,rate_per_min", *rows]) + "\n")
    fresh.replace(path)
    return load(path).rows[0].deck


@contextmanager
def running(bootstrap: str, directory: Path, *, processes: int, poll_s: int) -> Iterator[tuple[int, int, Path]]:
    """Runs workers; gives the process to signal, the first metrics port and the log."""
    port, log = free_port(), directory / "workers.log"
    arguments = ["--processes", str(processes), "--brokers", bootstrap, "--metrics-port", str(port)]
    arguments += ["--data-dir", str(directory / "data"), "--rates", str(directory / "deck.csv")]
    environment = os.environ | {"CREDITS_RATES_POLL_S": str(poll_s), "CREDITS_SESSION_TIMEOUT_S": "3"}
    with (
        log.open("w") as out,
        subprocess.Popen(command(*arguments), stdout=out, stderr=out, env=environment) as run,
    ):
        try:
            yield run.pid, port, log
        finally:
            run.terminate()
            assert run.wait(60) == 0


def rated(bootstrap: str) -> list[dict[str, Any]]:
    """Returns what the ledger says about usage, in the order in which the platform sent it."""
    charges = [event["data"] for event in documents(bootstrap, "ledger.v1") if event["data"]["kind"] == "charge"]
    return [entry["usage"] for entry in sorted(charges, key=lambda entry: entry["event_id"])]


def priced(usage: list[dict[str, Any]], stamp: str, factor: int) -> bool:
    """Tells whether this deck, at its prices, is what all of these legs were rated with; premium ones are refused."""
    paid = [leg for leg in usage if leg["decision"] != "refused"]
    factors = {leg["rate_micros_per_min"] / RATES[leg["prefix"]] for leg in paid}
    return {leg["deck"] for leg in usage} == {stamp} and factors == {factor}


def in_use(port: int) -> set[str]:
    return {
        name.split(":", 1)[1].replace(":", "@") for name in metrics(port) if name.startswith("credits_rate_decks_info")
    }


def reloads(port: int, result: str) -> float:
    return metrics(port).get(f"credits_rate_reloads_total:{result}", 0)


@pytest.fixture
def platform(topics: str) -> Platform:
    return Platform(topics, seed=5, tenants=20, duplicates=0)


def emit(platform: Platform, bootstrap: str) -> None:
    platform.emit(EVENTS)
    platform.producer.flush()
    wait_until("all input committed", lambda: lag(bootstrap) == 0)


def test_a_changed_deck_prices_later_legs_and_a_broken_one_does_not(
    topics: str, tmp_path: Path, platform: Platform
) -> None:
    deck = tmp_path / "deck.csv"
    first = write(deck, 1)
    with running(topics, tmp_path, processes=1, poll_s=1) as (_, port, log):
        emit(platform, topics)
        second = write(deck, 2)
        wait_until("the new deck is in use", lambda: in_use(port) == {second})
        emit(platform, topics)
        deck.write_text("prefix,destination,type,country,rate_per_min\n44,UK,mobile,GB,cheap\n")
        wait_until("the broken deck is refused", lambda: reloads(port, "refused") == 1)
        assert in_use(port) == {second}
        assert "line 2: rate_per_min: 'cheap' is not a decimal amount" in log.read_text()
        emit(platform, topics)
        third = write(deck, 3)
        wait_until("the mended deck is in use", lambda: in_use(port) == {third})
        emit(platform, topics)
        assert reloads(port, "applied") == 2
    legs = rated(topics)
    assert len(legs) == 4 * EVENTS
    assert priced(legs[:EVENTS], first, 1)
    assert priced(legs[EVENTS : 3 * EVENTS], second, 2)
    assert priced(legs[3 * EVENTS :], third, 3)


def test_sighup_to_the_supervisor_reaches_every_worker_and_harms_none_that_is_starting(
    topics: str, tmp_path: Path, platform: Platform
) -> None:
    deck = tmp_path / "deck.csv"
    first = write(deck, 1)
    with running(topics, tmp_path, processes=2, poll_s=0) as (pid, port, log):

        def children() -> list[str]:
            listed = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
            return listed.stdout.split()

        wait_until("both workers are started", lambda: len(children()) == 2)
        os.kill(pid, signal.SIGHUP)
        wait_until("both workers listen", lambda: log.read_text().count('"worker started"') == 2)
        emit(platform, topics)
        second = write(deck, 2)
        os.kill(pid, signal.SIGHUP)
        wait_until("both use the new deck", lambda: in_use(port) == in_use(port + 1) == {second})
        emit(platform, topics)
        assert "worker process ended" not in log.read_text()
    legs = rated(topics)
    assert priced(legs[:EVENTS], first, 1)
    assert priced(legs[EVENTS:], second, 2)
