"""Corrections and users' own minutes on a real broker: what they need is found again after a worker lost everything."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from processor.cli.reading import read_committed
from processor.contracts import outputs, topics
from processor.domain.account import Account
from processor.domain.ledger import Entry
from tests.crash.workers import WorkerProcess, lag, wait_until

TENANT = "contoso"
STARTED = datetime.now(UTC) - timedelta(hours=8)
DECK = "prefix,destination,type,country,rate_per_min\n44,UK,landline,GB,0.10\n"


class Telephony:
    """Sends events of one tenant and waits until all of them are committed."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._producer = Producer({"bootstrap.servers": bootstrap, "partitioner": "murmur2_random"})

    def send(self, topic: str, kind: str, event_id: str, **data: Any) -> None:
        document = {"specversion": "1.0", "id": event_id, "source": "/t", "type": kind, "subject": TENANT}
        self._producer.produce(topic, json.dumps(document | {"data": {"tenant_id": TENANT} | data}), TENANT)

    def call(self, event_id: str, minutes: int, corrects: str | None = None, kind: str = "final", **more: Any) -> None:
        ended = STARTED + timedelta(minutes=minutes)
        self.send(
            topics.USAGE_CALL,
            "telephony.call.v1",
            event_id,
            **{
                "call_id": "c",
                "leg_id": "l",
                "record_kind": kind,
                "corrects": corrects,
                "call_type": "user_out",
                "caller": "",
                "callee": "+442079460000",
                "number_type": "user",
                "answered_at": STARTED.isoformat(),
                "ended_at": ended.isoformat(),
                "connected_ms": minutes * 60_000,
                "credits_licensed": True,
                "user_id": "ada",
                "user_country": "GB",
            }
            | more,
        )

    def settle(self) -> None:
        self._producer.flush()
        wait_until("all input committed", lambda: lag(self._bootstrap) == 0)


def ledger(bootstrap: str) -> list[Entry]:
    records = read_committed({"bootstrap.servers": bootstrap}, topics.LEDGER)
    entries = [outputs.decode_entry(record.value()).data for record in records]
    return sorted(entries, key=lambda entry: entry.revision)


def account(bootstrap: str) -> Account:
    records = read_committed({"bootstrap.servers": bootstrap}, topics.ACCOUNT_STATE)
    return [outputs.decode_account(record.value()) for record in records][-1]


def told(entries: list[Entry]) -> list[tuple[str, str, int, int]]:
    return [
        (entry.kind, entry.event_id, entry.amount_micros, entry.usage.pool_minutes)
        for entry in entries
        if entry.usage is not None
    ]


@pytest.fixture
def bootstrap(request: pytest.FixtureRequest) -> str:
    """A broker with empty topics, under a name that is not that of the module of names."""
    made: str = request.getfixturevalue("topics")
    return made


def test_charges_are_taken_back_and_own_minutes_known_after_a_worker_lost_its_disk(
    bootstrap: str, tmp_path: Path
) -> None:
    deck = tmp_path / "deck.csv"
    deck.write_text(DECK)
    platform = Telephony(bootstrap)
    platform.send(
        topics.ACCOUNT_COMMANDS,
        "credits.funded.v1",
        "fund",
        amount_micros=100_000_000,
        currency="USD",
        purchased_at=STARTED.isoformat(),
        payment_reference="p",
    )
    platform.send(
        topics.ACCOUNT_COMMANDS,
        "credits.licences.set.v1",
        "licences",
        licences=[{"capability": "MCOPSTN8", "country": "GB", "count": 1}],
        effective_at=(STARTED - timedelta(days=1)).isoformat(),
    )
    first = WorkerProcess(bootstrap, tmp_path / "first", deck).start()
    platform.settle()
    platform.call("a", 10)
    platform.call("b", 100, capability="MCOPSTN8")
    platform.call("c", 5)
    platform.settle()
    platform.call("c1", 6, corrects="c", kind="correction")
    platform.settle()
    first.kill()

    second = WorkerProcess(bootstrap, tmp_path / "second", deck).start()
    platform.call("a1", 3, corrects="a", kind="correction")
    platform.call("d", 30, capability="MCOPSTN8")  # 20 of ada's 120 minutes are left
    platform.call("c2", 7, corrects="c1", kind="correction")
    platform.call("a2", 1, corrects="a", kind="void")
    platform.call("e", 2)
    platform.call("e1", 2, corrects="e", kind="void")
    platform.call("d1", 30, corrects="d", kind="void", capability="MCOPSTN8")
    platform.call("x1", 2, corrects="x", kind="void")
    platform.settle()
    assert second.terminate() == 0

    second.start()  # with what it kept on its disk
    platform.call("c3", 8, corrects="c", kind="correction")
    platform.call("b1", 100, corrects="b", kind="void", capability="MCOPSTN8")
    platform.settle()
    assert second.terminate() == 0

    assert told(ledger(bootstrap)) == [
        ("charge", "a", -1_000_000, 0),
        ("charge", "b", 0, 100),
        ("charge", "c", -500_000, 0),
        ("refund", "c1", 500_000, 0),
        ("charge", "c1", -600_000, 0),
        ("refund", "a1", 1_000_000, 0),
        ("charge", "a1", -300_000, 0),
        ("charge", "d", -1_000_000, 20),
        ("refund", "c2", 600_000, 0),
        ("charge", "c2", -700_000, 0),
        ("refund", "a2", 300_000, 0),
        ("charge", "e", -200_000, 0),
        ("refund", "e1", 200_000, 0),
        ("refund", "d1", 1_000_000, -20),
        ("refund", "c3", 700_000, 0),
        ("charge", "c3", -800_000, 0),
        ("refund", "b1", 0, -100),
    ]
    assert account(bootstrap).balance_micros == 100_000_000 - 800_000
    [parked] = read_committed({"bootstrap.servers": bootstrap}, topics.DEAD_LETTERS)
    assert dict(parked.headers())["credits.error.reason"] == b"unknown_original"
    verified = [sys.executable, "-m", "processor.cli", "verify", "--brokers", bootstrap]
    assert subprocess.run(verified, capture_output=True, check=False).returncode == 0
