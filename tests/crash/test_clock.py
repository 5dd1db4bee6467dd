"""A worker whose machine has a wrong clock ends before it commits by it: nothing expires before its time."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from processor.stream.faults import of
from tests.crash.platform import write_deck
from tests.crash.proof import documents
from tests.crash.test_timers import TENANT, Desk
from tests.crash.workers import WorkerProcess, wait_until

WRONG = """
import pathlib, time
right, wrong_s = time.time, pathlib.Path(__file__).with_name("wrong_s")
time.time = lambda: right() + float(wrong_s.read_text())
"""
"""Python runs it first. (With libfaketime, librdkafka would wait for as long as the clock is ahead.)"""

DAY_S = 86_400


@pytest.fixture
def wrong_s(tmp_path: Path) -> Path:
    """The file that says by how many seconds the clock of the worker's machine is wrong."""
    (tmp_path / "sitecustomize.py").write_text(WRONG)
    (tmp_path / "wrong_s").write_text("0")
    return tmp_path / "wrong_s"


@pytest.fixture
def meter(topics: str, tmp_path: Path, wrong_s: Path) -> WorkerProcess:
    return WorkerProcess(topics, tmp_path / "a", write_deck(tmp_path / "deck.csv"), PYTHONPATH=str(wrong_s.parent))


def ends_over_its_clock(meter: WorkerProcess, words: str) -> None:
    assert meter.ended() == of("clock").exit_code
    [line] = [line for line in meter.log().splitlines() if '"the worker stops itself"' in line]
    said = json.loads(line)
    assert (said["cause"], said["next_step"]) == ("clock", of("clock").next_step)
    assert words in said["error"]


def fund(desk: Desk, event_id: str) -> None:
    data = {"tenant_id": TENANT, "amount_micros": 50_000_000, "currency": "USD", "payment_reference": "transfer"}
    now = datetime.now(UTC).isoformat()
    desk.send("account.commands.v1", "credits.funded.v1", event_id, data | {"purchased_at": now})


def test_a_clock_that_is_a_year_ahead_forfeits_nothing_and_ends_the_worker_at_every_start(
    topics: str, meter: WorkerProcess, wrong_s: Path
) -> None:
    desk = Desk(topics)
    fund(desk, "funds")
    meter.start()
    wait_until("the funds are there", lambda: desk.entries() == [("fund", 50_000_000)])
    assert meter.terminate() == 0
    wrong_s.write_text(str(400 * DAY_S))
    fund(desk, "more funds")  # before anything else happens to the account, its lots expire by the worker's clock
    for _ in range(2):
        meter.start()
        ends_over_its_clock(meter, "ahead of the broker's")
    wrong_s.write_text("0")
    meter.start()
    wait_until("the worker goes on", lambda: len(desk.entries()) > 1)
    assert meter.terminate() == 0
    assert desk.entries() == [("fund", 50_000_000)] * 2
    assert list(documents(topics, "notifications.v1")) == []


@pytest.mark.parametrize(("leap_s", "words"), [(3600, "forward since the start"), (-3600, "back since the start")])
def test_a_clock_that_is_set_while_the_worker_runs_ends_it(
    topics: str, meter: WorkerProcess, wrong_s: Path, leap_s: int, words: str
) -> None:
    desk = Desk(topics)
    fund(desk, "funds")
    meter.start()
    wait_until("the funds are there", lambda: desk.entries() == [("fund", 50_000_000)])
    wrong_s.write_text(str(leap_s))
    fund(desk, "more funds")
    ends_over_its_clock(meter, words)
    assert desk.entries() == [("fund", 50_000_000)]
