"""Retention deletes what was charged long ago, and the worker still finds its place."""

import json
from datetime import UTC, datetime
from pathlib import Path

from confluent_kafka import OFFSET_END, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from processor.contracts.topics import ACCOUNT_COMMANDS
from tests.crash.platform import PARTITIONS, write_deck
from tests.crash.proof import documents
from tests.crash.workers import WorkerProcess, lag, wait_until

DATA = {"tenant_id": "acme", "amount_micros": 50_000_000, "currency": "USD", "payment_reference": "transfer"}


def fund(bootstrap: str, event_id: str) -> None:
    """Writes the command in a transaction, so that its marker stands behind it."""
    writer = Producer({"bootstrap.servers": bootstrap, "transactional.id": "writer", "partitioner": "murmur2_random"})
    data = DATA | {"purchased_at": datetime.now(UTC).isoformat()}
    event = {"specversion": "1.0", "id": event_id, "source": "/test", "type": "credits.funded.v1", "data": data}
    writer.init_transactions(30)
    writer.begin_transaction()
    writer.produce(ACCOUNT_COMMANDS, json.dumps(event), "acme")
    writer.commit_transaction(30)


def empty(bootstrap: str, topic: str) -> None:
    """Deletes everything, as retention does after its time."""
    client = AdminClient({"bootstrap.servers": bootstrap})  # must outlive its futures
    places = [TopicPartition(topic, number, OFFSET_END) for number in range(PARTITIONS)]
    for deleted in client.delete_records(places).values():
        deleted.result()


def funded(bootstrap: str) -> int:
    return sum(event["data"]["kind"] == "fund" for event in documents(bootstrap, "ledger.v1"))


def test_a_topic_that_retention_has_emptied_behind_the_marker_of_a_transaction_does_not_stop_a_restart(
    topics: str, tmp_path: Path
) -> None:
    worker = WorkerProcess(topics, tmp_path / "a", write_deck(tmp_path / "deck.csv")).start()
    fund(topics, "first")
    wait_until("the position is behind the marker", lambda: lag(topics) == 0)
    assert worker.terminate() == 0
    empty(topics, ACCOUNT_COMMANDS)
    worker.start()
    fund(topics, "second")
    wait_until("the second command is obeyed", lambda: funded(topics) == 2 or not worker.running())
    assert worker.terminate() == 0
