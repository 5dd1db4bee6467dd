"""A transaction that is ended by somebody else, or whose producer is forgotten, ends the worker."""

import signal
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

from processor.contracts.topics import INPUTS
from processor.embedded.broker import EmbeddedBroker
from processor.stream.reading import reader
from tests.crash.meters import PATIENT, SHORT, MeterAt, declared, usage
from tests.crash.platform import PARTITIONS
from tests.crash.workers import drained, wait_until


def test_a_second_worker_under_the_same_name_fences_the_first(
    own: EmbeddedBroker, tmp_path: Path, meter_at: MeterAt
) -> None:
    first = meter_at(own.bootstrap, tmp_path / "first", CREDITS_INSTANCE="twin")
    second = meter_at(own.bootstrap, tmp_path / "second", CREDITS_INSTANCE="twin")
    with usage(own.bootstrap):
        first.start("B4:2:freeze")
        wait_until("the worker is inside a transaction", first.frozen)
        second.start()
        drained(own.bootstrap, second)
        first.signal(signal.SIGCONT)
        # What it has produced may have waited for too long by then, before the broker tells it that it is fenced.
        first.ends_over("fenced", "broker_unreachable")
        second.kill()


def await_no_open_transaction(bootstrap: str) -> None:
    """Returns when every transaction that holds positions of the group is decided."""
    group = {"group.id": "credits-meter", "isolation.level": "read_committed"}
    consumer = Consumer({"bootstrap.servers": bootstrap, **group})
    consumer.committed([TopicPartition(topic, number) for topic in INPUTS for number in range(PARTITIONS)], timeout=60)
    consumer.close()


def test_a_transaction_that_takes_longer_than_its_timeout_is_aborted_and_ends_the_worker(
    own: EmbeddedBroker, tmp_path: Path, meter_at: MeterAt
) -> None:
    meter = meter_at(own.bootstrap, tmp_path / "a", **SHORT)
    with usage(own.bootstrap):
        meter.start("B5:2:freeze")
        wait_until("the worker is inside a transaction", meter.frozen)
        await_no_open_transaction(own.bootstrap)
        meter.signal(signal.SIGCONT)
        # What it has produced may have waited for too long by then, before the broker refuses its commit.
        cause = meter.ends_over("fenced", "broker_unreachable")
        meter.goes_on(cause)


def forgotten(bootstrap: str) -> bool:
    """Tells whether the broker has forgotten every transactional id that it knew."""
    known: dict[bytes, bool] = {}
    places = [TopicPartition("__transaction_state", number, 0) for number in range(8)]
    consumer = reader({"bootstrap.servers": bootstrap}, "read_uncommitted", queued_kbytes=1000)
    consumer.assign(places)
    ends = 0
    while ends < len(places):
        for record in consumer.consume(1000, 0.1):
            if record.error():
                ends += 1
            else:
                known[record.key()] = record.value() is not None
    consumer.close()
    return not any(known.values())


def test_a_worker_whose_producer_the_broker_has_forgotten_ends_with_70_and_gets_another(
    kafka_fetched: None, tmp_path: Path, meter_at: MeterAt
) -> None:
    """What takes seven idle days of a broker as it is shipped."""
    forgetful = {
        "transactional.id.expiration.ms": "3000",
        "transaction.remove.expired.transaction.cleanup.interval.ms": "500",
        "producer.id.expiration.ms": "3000",
        "producer.id.expiration.check.interval.ms": "500",
    }
    with declared(EmbeddedBroker(properties=forgetful)) as broker:
        meter = meter_at(broker.bootstrap, tmp_path / "a", **PATIENT)
        with usage(broker.bootstrap) as platform:
            meter.start()
            drained(broker.bootstrap, meter)
            wait_until("the broker has forgotten the worker's producer", lambda: forgotten(broker.bootstrap))
            platform.send(1)
            meter.ends_over("transaction_aborted")
            # A start on a busy machine may last longer than this broker's memory, and end the same way.
            meter.goes_on("transaction_aborted", perhaps_again=True)
