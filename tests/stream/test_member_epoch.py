"""With KIP-848 a member's epoch moves when another one comes: what it was about to commit is committed once."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException

from processor.cli.reading import read_committed
from processor.contracts.topics import LEDGER, USAGE_CALL
from processor.stream.transaction import Transactions
from processor.stream.work import Work
from tests.crash.workers import wait_until

GROUP = "epochs"
RECORDS = 8_000


@contextmanager
def member(brokers: str) -> Iterator[Consumer]:
    config = {"bootstrap.servers": brokers, "group.id": GROUP, "enable.auto.commit": False}
    consumer = Consumer(config | {"group.protocol": "consumer"})
    consumer.subscribe([USAGE_CALL])
    try:
        yield consumer
    finally:
        consumer.close()


def owns(consumer: Consumer) -> int:
    """Lets the member do what the group wants of it; returns how many partitions it has."""
    consumer.poll(0.1)
    return len(consumer.assignment())


def opened(brokers: str, name: str, *, epoch_moves: bool) -> Transactions:
    transactions = Transactions({"bootstrap.servers": brokers}, name, 10, epoch_moves=epoch_moves)
    transactions.open()
    return transactions


def test_a_cycle_that_is_refused_for_its_epoch_is_committed_once_under_the_newer_one(topics: str) -> None:
    work = Work(datetime.now(UTC))
    work.offsets[USAGE_CALL, 0] = 0
    for number in range(RECORDS):
        work.produce(LEDGER, number % 8, b"tenant", b"%1000d" % number)
    with member(topics) as first:
        wait_until("the first has everything", lambda: owns(first) == 8)
        stale = first.consumer_group_metadata()
        with member(topics) as second:
            wait_until("they share", lambda: owns(first) == owns(second) == 4)
            newer = first.consumer_group_metadata()
            with pytest.raises(KafkaException) as refused:
                opened(topics, "classic", epoch_moves=False).commit(work, lambda: stale)
            assert refused.value.args[0].code() == KafkaError.ILLEGAL_GENERATION
            answers = iter([*[stale] * 20, newer])
            opened(topics, "moving", epoch_moves=True).commit(work, lambda: next(answers))
    written = sorted(int(record.value()) for record in read_committed({"bootstrap.servers": topics}, LEDGER))
    assert written == list(range(RECORDS))
