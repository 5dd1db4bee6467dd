"""The conformance kit passes our own worker and fails a wrong one, saying why."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.stream import wrong_payment_worker
from tests.stream.payment_world import Meter, request

BOOK = """\
import sqlite3, sys
for row in sqlite3.connect(sys.argv[1]).execute("SELECT recharge_id FROM charges WHERE status = 'succeeded'"):
    print(*row)
"""
DEADLINE_S = 200


def kit(brokers: str, *options: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "processor.cli", "payment-conformance", "--brokers", brokers, "--tenants", "8"]
    return subprocess.run([*line, *options], capture_output=True, text=True, timeout=DEADLINE_S, check=False)


def checks(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    return {each["check"]: each for each in json.loads(done.stdout)["checks"]}


def test_our_own_worker_conforms_through_kills_a_freeze_declines_and_lost_answers(topics: str, tmp_path: Path) -> None:
    script = tmp_path / "book.py"
    script.write_text(BOOK)
    worker = f"{sys.executable} -m processor.cli payment-worker --brokers {{brokers}} --data-dir {{directory}}"
    worker += " --books {directory}/books.sqlite --latency 0.05 --decline-rate 0.2 --timeout-rate 0.2"
    book = f"{sys.executable} {script} {{directory}}/books.sqlite"
    done = kit(topics, "--cmd", worker, "--book", book, "--rounds", "5", "--recharges", "4", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    assert document["conforms"]
    assert document["recharges"] == 8 * 5
    assert document["starts"] >= 4
    assert all(each["holds"] and each["problems"] == [] for each in document["checks"])
    assert "charged" in checks(done)


def test_a_wrong_worker_fails_with_every_rule_it_breaks(topics: str, tmp_path: Path) -> None:
    book = tmp_path / "book"
    worker = f"{sys.executable} {wrong_payment_worker.__file__} {{brokers}} {book}"
    options = ["--cmd", worker, "--book", f"cat {book}", "--rounds", "2", "--stop-within", "1", "--patience", "30"]
    done = kit(topics, *options, "--json")
    assert done.returncode == 1, done.stderr
    found = checks(done)
    broken = {name for name, check in found.items() if not check["holds"]}
    assert {"once", "known", "echoed", "stopped", "charged"} <= broken
    assert {"valid", "placed", "committed"}.isdisjoint(broken)
    assert "aborted transaction" in found["known"]["problems"][0]
    assert "event ids" in found["once"]["problems"][0]
    assert "amount_micros is" in found["echoed"]["problems"][0]
    assert found["stopped"]["problems"] == ["it had to be killed"]


def test_a_cluster_that_holds_commands_is_refused_before_anything_is_charged(topics: str) -> None:
    with Meter(topics) as meter:
        meter.ask([request("t1", 1)])
    done = kit(topics, "--cmd", "touch /nonexistent/never")
    assert done.returncode == 1
    assert "holds commands, which the worker would charge" in done.stderr


def test_a_command_that_cannot_be_started_is_said(topics: str) -> None:
    done = kit(topics, "--cmd", "/nonexistent/worker")
    assert done.returncode == 1
    assert "--cmd cannot be started" in done.stderr
