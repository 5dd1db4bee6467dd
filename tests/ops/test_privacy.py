"""No phone number of a replay leaves the inputs: not to an output topic, a header, a log, a metric.

The untouched originals inside dead letters and rerouted records are the exceptions; they have the inputs' rights.
"""

import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, Producer, TopicPartition

from processor.contracts import topics as names
from processor.embedded.broker import free_port
from tests.crash.platform import PARTITIONS, Payments, Platform, write_deck
from tests.crash.workers import WorkerProcess, lag, wait_until

DIGITS = "99955501"
"""Digits that every phone number of this replay ends with or contains, and nothing else."""

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def emit(bootstrap: str) -> None:
    """Sends usage with numbers that can be found again: good, unpriced, malformed, misaddressed, too old."""
    platform = Platform(bootstrap, seed=1, tenants=1)
    platform.open_accounts()
    wait_until("the accounts are open, so that usage is what makes a balance fall", lambda: lag(bootstrap) == 0, 90)
    good = []
    while len(good) < 800:
        topic, tenant, value = platform._usage()
        event = json.loads(value)
        data = event["data"]
        for field in ("caller", "callee", "remote_number"):
            if field in data:
                data[field] = f"{data[field][:5]}{DIGITS}"
        event["traceparent"] = PARENT
        good.append((topic, tenant, event))
    producer = Producer({"bootstrap.servers": bootstrap, "partitioner": "murmur2_random"})

    def send(topic: str, tenant: str, value: bytes) -> None:
        producer.produce(topic, value, tenant, headers={"x-number": f"+1{DIGITS}"})

    for index, (topic, tenant, event) in enumerate(good):
        send(topic, tenant, json.dumps(event).encode())
        if index < 20:
            data = event["data"] | {"callee": f"+999{DIGITS}", "remote_number": f"+999{DIGITS}"}
            send(topic, tenant, json.dumps(event | {"id": f"unpriced-{index}", "data": data}).encode())
            send(
                topic,
                tenant,
                json.dumps(event | {"id": f"bad-{index}", "data": data | {"connected_ms": DIGITS}}).encode(),
            )
            send(topic, tenant, f"+1{DIGITS} is not JSON".encode())
            send(topic, "somebody-else", json.dumps(event | {"id": f"elsewhere-{index}"}).encode())
    producer.flush()


def records(bootstrap: str, topic: str) -> Iterator[Message]:
    """Reads a topic from its beginning to its end."""
    settings = {"bootstrap.servers": bootstrap, "group.id": "privacy", "enable.partition.eof": True}
    consumer = Consumer({**settings, "isolation.level": "read_committed", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in range(PARTITIONS)])
    ends = 0
    while ends < PARTITIONS:
        record = consumer.poll(20)
        assert record is not None
        error = record.error()
        if error is None:
            yield record
        else:
            assert error.code() == KafkaError._PARTITION_EOF, error
            ends += 1
    consumer.close()


@pytest.fixture
def replayed(topics: str, tmp_path: Path) -> Iterator[tuple[str, str, str]]:
    """The broker's address, the worker's metrics page and its log, after all of it was processed."""
    port = free_port()
    patient = {"CREDITS_TRANSACTION_TIMEOUT_S": "60", "CREDITS_SESSION_TIMEOUT_S": "60"}
    settings = {"CREDITS_METRICS_PORT": str(port), **patient}
    worker = WorkerProcess(topics, tmp_path / "w", write_deck(tmp_path / "deck.csv"), **settings).start()
    try:
        emit(topics)
        with Payments(topics, Platform(topics, seed=2)):
            wait_until("all input committed", lambda: lag(topics) == 0, 90)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as page:
            metrics = page.read().decode()
        worker.terminate()
        yield topics, metrics, worker.log()
    finally:
        if worker.running():
            worker.kill()


def test_no_phone_number_leaves_the_inputs(replayed: tuple[str, str, str]) -> None:
    bootstrap, metrics, log = replayed
    assert DIGITS not in metrics
    assert DIGITS not in log
    assert not re.search(r'="\+?\d{6,}', metrics)
    seen = {}
    for topic in names.OUTPUTS:
        found = list(records(bootstrap, topic))
        seen[topic] = len(found)
        for record in found:
            headers = dict(record.headers() or [])
            if topic == names.DEAD_LETTERS:
                headers = {name: value for name, value in headers.items() if name.startswith("credits.error.")}
                assert headers
            else:
                assert DIGITS.encode() not in (record.value() or b""), topic
                assert DIGITS.encode() not in (record.key() or b""), topic
            assert DIGITS not in str(headers), topic
    assert seen[names.DEAD_LETTERS] >= 60, "the replay was to be parked in part"
    assert seen[names.LEDGER] >= 800
    assert seen[names.RECHARGE_COMMANDS] > 0
    linked = {dict(record.headers() or []).get("traceparent") for record in records(bootstrap, names.RECHARGE_COMMANDS)}
    assert PARENT.encode() in linked, "the trace of the usage is linked from the command, which its number is not"
