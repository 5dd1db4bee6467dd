"""A real Prometheus scrapes a working worker, payment worker and auditor: every rule and every panel finds its data."""

import re
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from drills.parts import Part
from drills.prometheus import Prometheus
from processor.embedded.broker import free_port
from tests.crash.platform import Platform, write_deck
from tests.crash.workers import WorkerProcess, wait_until
from tests.ops.rules import alerts, dashboards, panels, records, tool

SELECTOR = re.compile(r"\b(?:credits[\w:]+|process_\w+|up)\b(?:\{[^}]*\})?")
RATE_INTERVAL = "15s"
PATIENCE_S = 90.0


@pytest.fixture(scope="module")
def _prometheus() -> str:
    return tool("prometheus")


@pytest.fixture
def scraper(_prometheus: str, topics: str, tmp_path: Path) -> Iterator[Prometheus]:
    """A Prometheus with the project's rules beside all that is scraped, and a platform that has sent usage."""
    ports = {job: free_port() for job in ("credits-worker", "credits-payment-worker", "credits-auditor")}
    paying = [sys.executable, "-m", "processor.cli", "payment-worker", "--brokers", topics, "--latency", "0.01"]
    paying += ["--data-dir", str(tmp_path / "p"), "--metrics-port", str(ports["credits-payment-worker"])]
    auditing = [sys.executable, "-m", "processor.cli", "verify", "--follow", "--every", "1", "--brokers", topics]
    auditing += ["--metrics-port", str(ports["credits-auditor"])]
    deck = write_deck(tmp_path / "deck.csv")
    patient = {"CREDITS_TRANSACTION_TIMEOUT_S": "60", "CREDITS_SESSION_TIMEOUT_S": "60"}
    port = str(ports["credits-worker"])
    worker = WorkerProcess(topics, tmp_path / "w", deck, CREDITS_METRICS_PORT=port, **patient).start()
    with ExitStack() as running:
        running.callback(worker.kill)
        for part in (Part(paying, tmp_path / "payments.log"), Part(auditing, tmp_path / "auditor.log")):
            running.callback(part.end)
            part.start()
        found = running.enter_context(Prometheus(tmp_path / "prometheus", ports, factor=1))
        wait_until("Prometheus answers", found.answers)
        platform = Platform(topics, seed=3, tenants=20)
        platform.open_accounts()
        wait_until("all are scraped", lambda: found.has_data('count(up{job=~"credits-.*"} == 1) == 3'))
        for _ in range(10):
            platform.emit(200)
            platform.producer.flush()
        yield found


def asked() -> dict[str, str]:
    """Returns what must have data: panels whole, recorded series, and each selector of an alert."""
    found = {name: name for name in records()}
    for name, alert in alerts().items():
        found |= {f"{name}: {selector}": selector for selector in SELECTOR.findall(alert["expr"])}
    for uid, dashboard in dashboards().items():
        for panel in panels(dashboard):
            for target in panel["targets"]:
                expression = target["expr"].replace("$__rate_interval", RATE_INTERVAL)
                found[f"{uid}: {panel['title']} {target['refId']}"] = expression
    return found


def test_every_expression_of_every_rule_and_panel_returns_data(scraper: Prometheus) -> None:
    missing = asked()

    def all_there() -> bool:
        for name in [name for name, expression in missing.items() if scraper.has_data(expression)]:
            del missing[name]
        return not missing

    deadline = time.monotonic() + PATIENCE_S
    while not all_there() and time.monotonic() < deadline:
        time.sleep(0.5)  # between two looks
    assert missing == {}
    assert not scraper.has_data("credits_there_is_no_such_metric"), "a wrong name would not be noticed"
