"""Broken records are parked with their reason, untouched, and the good records around them are all debited."""

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from processor.cli.reading import read_committed
from processor.domain.errors import REASONS
from tests.crash.platform import Platform, write_deck
from tests.crash.proof import prove
from tests.crash.workers import WorkerProcess, drained

TENANT = "tenant-0001"
CALLS, COMMANDS, RESULTS = "usage.call.v1", "account.commands.v1", "recharge.results.v1"
NUMBER = "+447700900123"


def iso(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def call(**changes: Any) -> dict[str, Any]:
    """A good call event; `changes` break its data, names with a leading underscore its envelope."""
    ended = datetime.now(UTC)
    data = {
        "tenant_id": TENANT,
        "call_id": "c",
        "leg_id": "a",
        "record_kind": "final",
        "call_type": "user_out",
        "caller": "+14255550100",
        "callee": NUMBER,
        "number_type": "user",
        "answered_at": iso(ended - timedelta(seconds=60)),
        "ended_at": iso(ended),
        "connected_ms": 60_000,
        "credits_licensed": True,
    }
    envelope: dict[str, Any] = {
        "specversion": "1.0",
        "id": f"bad-{json.dumps(changes, default=str)[:80]}",
        "source": "/telephony/bad",
        "type": "telephony.call.v1",
        "subject": TENANT,
        "data": data,
    }
    for name, value in changes.items():
        target, field = (envelope, name[1:]) if name.startswith("_") else (data, name)
        if value is MISSING:
            del target[field]
        else:
            target[field] = value
    return envelope


MISSING = object()


def encoded(**changes: Any) -> bytes:
    return json.dumps(call(**changes)).encode()


def days_ago(days: float) -> dict[str, str]:
    ended = datetime.now(UTC) - timedelta(days=days)
    return {"answered_at": iso(ended - timedelta(seconds=60)), "ended_at": iso(ended)}


def result() -> bytes:
    decided = {
        "recharge_id": f"{TENANT}:999",
        "tenant_id": TENANT,
        "status": "succeeded",
        "amount_micros": 50_000_000,
        "currency": "USD",
        "provider": "test",
        "decided_at": iso(datetime.now(UTC)),
    }
    return json.dumps(call(_type="payments.recharge.decided.v1", _data=decided)).encode()


def funding() -> bytes:
    return json.dumps(call(_type="credits.funded.v1")).encode()


BROKEN: list[tuple[str, str, str | None, Callable[[], bytes | None], str]] = [
    ("not JSON", CALLS, TENANT, lambda: b"hello", "not_json"),
    ("cut off", CALLS, TENANT, lambda: encoded()[:-40], "not_json"),
    ("empty", CALLS, TENANT, lambda: b"", "not_json"),
    ("a tombstone", CALLS, TENANT, lambda: None, "not_json"),
    ("not UTF-8", CALLS, TENANT, lambda: encoded().replace(b"user_out", b"user_\xff\xfe"), "not_json"),
    ("nested too deeply", CALLS, TENANT, lambda: b'{"a":' + b"[" * 30_000, "not_json"),
    ("an array", CALLS, TENANT, lambda: b"[1, 2]", "schema_invalid"),
    ("text for a number", CALLS, TENANT, lambda: encoded(connected_ms="60000"), "schema_invalid"),
    ("a fraction of a millisecond", CALLS, TENANT, lambda: encoded(connected_ms=60_000.5), "schema_invalid"),
    ("a negative duration", CALLS, TENANT, lambda: encoded(connected_ms=-1), "schema_invalid"),
    ("a number beyond 64 bits", CALLS, TENANT, lambda: encoded(connected_ms=10**30), "schema_invalid"),
    ("a missing field", CALLS, TENANT, lambda: encoded(callee=MISSING), "schema_invalid"),
    ("an unknown call type", CALLS, TENANT, lambda: encoded(call_type="teleport"), "schema_invalid"),
    ("no such time", CALLS, TENANT, lambda: encoded(ended_at="yesterday"), "schema_invalid"),
    ("a time without zone", CALLS, TENANT, lambda: encoded(ended_at="2026-11-22T10:00:00"), "schema_invalid"),
    ("an empty tenant", CALLS, TENANT, lambda: encoded(tenant_id=""), "schema_invalid"),
    ("no type", CALLS, TENANT, lambda: encoded(_type=MISSING), "schema_invalid"),
    ("an unknown type", CALLS, TENANT, lambda: encoded(_type="telephony.fax.v1"), "unknown_type"),
    ("funding on a usage topic", CALLS, TENANT, funding, "schema_invalid"),
    ("a result on a usage topic", CALLS, TENANT, result, "unknown_type"),
    ("larger than any event", CALLS, TENANT, lambda: encoded(end_reason="x" * 70_000), "too_large"),
    ("no key", CALLS, None, encoded, "key_missing"),
    ("another tenant's key", CALLS, "tenant-0002", encoded, "tenant_mismatch"),
    ("another tenant as subject", CALLS, TENANT, lambda: encoded(_subject="tenant-0002"), "tenant_mismatch"),
    ("a national number", CALLS, TENANT, lambda: encoded(callee="+0123456789"), "number_invalid"),
    ("a name for a number", CALLS, TENANT, lambda: encoded(callee="anonymous"), "number_invalid"),
    ("digits of another script", CALLS, TENANT, lambda: encoded(callee="+٤٤٧٧٠٠٩٠٠١٢٣"), "number_invalid"),
    ("a place without a rate", CALLS, TENANT, lambda: encoded(callee="+99912345678"), "no_rate"),
    ("times that disagree", CALLS, TENANT, lambda: encoded(connected_ms=75_000), "inconsistent_times"),
    ("an old event", CALLS, TENANT, lambda: encoded(**days_ago(36)), "too_old"),
    ("an event of tomorrow", CALLS, TENANT, lambda: encoded(**days_ago(-1)), "in_future"),
    ("a correction of nothing", CALLS, TENANT, lambda: encoded(record_kind="void", corrects="x"), "unknown_original"),
    ("an unknown recharge", RESULTS, TENANT, result, "unknown_recharge"),
]


def process_all(bootstrap: str, directory: Path) -> None:
    """Runs one worker until all input is committed, then ends it as an operator would."""
    worker = WorkerProcess(bootstrap, directory / "a", write_deck(directory / "deck.csv")).start()
    drained(bootstrap, worker)
    assert worker.terminate() == 0, worker.log()


def test_every_kind_of_broken_record_is_parked_and_no_good_one_is_lost(topics: str, tmp_path: Path) -> None:
    platform = Platform(topics, seed=5, tenants=10)
    platform.open_accounts()
    huge = Producer(
        {
            "bootstrap.servers": topics,
            "partitioner": "murmur2_random",
            "compression.type": "zstd",
            "message.max.bytes": 64_000_000,
        }
    )
    sent: list[tuple[bytes | None, bytes | None, str, str]] = []
    for what, topic, key, value, reason in BROKEN:
        platform.emit(20)
        body = value()
        huge.produce(topic, body, key)
        huge.flush()
        sent.append((key.encode() if key else None, body, topic, reason))
        assert not len(huge), what
    platform.emit(20)
    platform.producer.flush()

    process_all(topics, tmp_path)

    parked = []
    for record in read_committed({"bootstrap.servers": topics}, "dead.letters.v1"):
        noted = {name: value.decode() for name, value in record.headers() if name.startswith("credits.error.")}
        parked.append((record.key(), record.value(), noted["credits.error.topic"], noted["credits.error.reason"]))
        assert NUMBER not in noted["credits.error.message"]
        assert noted["credits.error.reason"] in REASONS

    def order(row: tuple[bytes | None, bytes | None, str, str]) -> tuple[str, ...]:
        return row[3], row[2], repr(row[0]), repr(row[1])

    assert sorted(parked, key=order) == sorted(sent, key=order)
    prove(topics, platform.expected, parked=len(BROKEN))


def test_a_giant_that_only_compression_let_in_is_parked_without_its_value(topics: str, tmp_path: Path) -> None:
    """Whoever may write usage must not be able to stop the meter: lz4 cannot squeeze what zstd did."""
    giant = random.Random(1).randbytes(100_000) * 200
    settings = {"compression.type": "zstd", "compression.level": 12, "message.max.bytes": 64_000_000}
    producer = Producer({"bootstrap.servers": topics, "partitioner": "murmur2_random", **settings})
    producer.produce(CALLS, giant, TENANT)
    assert producer.flush(30) == 0
    platform = Platform(topics, seed=8, tenants=10)
    platform.open_accounts()
    platform.emit(100)
    platform.producer.flush()

    process_all(topics, tmp_path)

    (parked,) = read_committed({"bootstrap.servers": topics}, "dead.letters.v1")
    noted = dict(parked.headers())
    assert parked.value() is None
    assert noted["credits.error.reason"] == b"too_large"
    assert int(noted["credits.error.omitted_bytes"]) >= len(giant)
    prove(topics, platform.expected, parked=1)


def test_what_librdkafkas_default_partitioner_misplaces_is_charged_once_also_after_it_is_mended(
    topics: str, tmp_path: Path
) -> None:
    """consistent_random hashes with CRC32, the meter with murmur2: seven of eight tenants are in a wrong partition."""
    platform = Platform(topics, seed=6, tenants=10, duplicates=0.3)
    platform.open_accounts()
    right, platform.producer = platform.producer, Producer({"bootstrap.servers": topics})
    platform.emit(500)
    platform.producer.flush()
    platform.producer = right  # what is repeated now has been charged after a detour
    platform.emit(500)
    platform.producer.flush()

    process_all(topics, tmp_path)

    assert sum(1 for _ in read_committed({"bootstrap.servers": topics}, "usage.rerouted.v1")) > 100
    prove(topics, platform.expected)
