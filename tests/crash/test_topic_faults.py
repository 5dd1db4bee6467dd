"""A topic that is not as it was: the worker ends, and the next start says what a person has to do."""

import signal
from pathlib import Path

from confluent_kafka.admin import AdminClient, NewPartitions

from processor.contracts.topics import NOTIFICATIONS, USAGE_CALL, USAGE_CONFERENCE
from processor.embedded.broker import EmbeddedBroker
from processor.stream import topics as stream_topics
from tests.crash.meters import EVENTS, PATIENT, SHORT, MeterAt, configure, usage
from tests.crash.platform import FUNDING_MICROS, PARTITIONS
from tests.crash.workers import drained, wait_until


def test_a_record_too_large_for_its_topic_ends_the_worker_and_the_next_start_names_the_setting(
    own: EmbeddedBroker, tmp_path: Path, meter_at: MeterAt
) -> None:
    configure(own.bootstrap, "ledger.v1", "max.message.bytes", "4000")
    meter = meter_at(own.bootstrap, tmp_path / "a", **PATIENT)
    with usage(own.bootstrap):
        configure(own.bootstrap, "ledger.v1", "max.message.bytes", "1048588")
        meter.start("B3:2:freeze")
        wait_until("the worker is about to commit", meter.frozen)
        configure(own.bootstrap, "ledger.v1", "max.message.bytes", "1000")
        meter.signal(signal.SIGCONT)
        # While it adds its input positions, librdkafka only says that the transaction is in no state for it.
        cause = meter.ends_over("record_too_large", "transaction_aborted")
        meter.refused("ledger.v1 has max.message.bytes=1000", "credits topics apply")
        assert not stream_topics.apply(own.bootstrap, PARTITIONS, 1).problems
        meter.goes_on(cause)


def grow(bootstrap: str, *topics: str) -> None:
    """Doubles the partitions of these topics."""
    client = AdminClient({"bootstrap.servers": bootstrap})  # must outlive its futures
    for future in client.create_partitions([NewPartitions(topic, 2 * PARTITIONS) for topic in topics]).values():
        future.result()


def delete(bootstrap: str, topic: str) -> None:
    client = AdminClient({"bootstrap.servers": bootstrap})  # must outlive its futures
    client.delete_topics([topic])[topic].result()


def test_a_partition_count_that_grows_while_a_worker_runs_ends_it_with_70_and_no_start_is_possible(
    own: EmbeddedBroker, tmp_path: Path, meter_at: MeterAt
) -> None:
    """With KIP-848 the broker sees it at once; with the classic protocol a member at its next look, or join."""
    meter = meter_at(own.bootstrap, tmp_path / "a", **PATIENT, CREDITS_GROUP_PROTOCOL="consumer")
    with usage(own.bootstrap):
        meter.start()
        drained(own.bootstrap, meter)
        grow(own.bootstrap, USAGE_CALL)
        meter.ends_over("assignment")
        meter.refused("usage.call.v1 has 16 partitions where others have 8", "All topics need one count")


def test_partition_counts_that_are_not_those_of_the_accounts_are_refused_with_instructions(
    own: EmbeddedBroker, tmp_path: Path, meter_at: MeterAt
) -> None:
    meter = meter_at(own.bootstrap, tmp_path / "a", **PATIENT)
    with usage(own.bootstrap):
        meter.start()
        drained(own.bootstrap, meter)
        assert meter.terminate() == 0
        grow(own.bootstrap, *stream_topics.declared())
        meter.refused("whose home is", "Restore the topics with their former count")


def test_an_input_topic_that_is_deleted_under_a_worker_ends_it_with_70_and_the_next_start_names_it(
    own: EmbeddedBroker, tmp_path: Path, meter_at: MeterAt
) -> None:
    meter = meter_at(own.bootstrap, tmp_path / "a", **PATIENT)
    with usage(own.bootstrap) as platform:
        meter.start()
        drained(own.bootstrap, meter)
        delete(own.bootstrap, USAGE_CONFERENCE)
        meter.ends_over("topic_missing")
        meter.refused(f"{USAGE_CONFERENCE} is missing", "credits topics apply")
        assert not stream_topics.apply(own.bootstrap, PARTITIONS, 1).problems
        platform.send(EVENTS)
        meter.goes_on("topic_missing")


def test_an_output_topic_that_is_deleted_under_a_worker_ends_it_and_the_next_start_names_it(
    own: EmbeddedBroker, tmp_path: Path, meter_at: MeterAt
) -> None:
    meter = meter_at(own.bootstrap, tmp_path / "a", **SHORT)
    with usage(own.bootstrap) as platform:
        meter.start()
        drained(own.bootstrap, meter)
        delete(own.bootstrap, NOTIFICATIONS)
        platform.set_autopay("raised", "tenant-0000", FUNDING_MICROS, max_per_day=1)  # a payment, and so a notice
        platform.flush()
        # The producer waits for a topic that may come back, and its records become too old.
        cause = meter.ends_over("topic_missing", "broker_unreachable")
        meter.refused(f"{NOTIFICATIONS} is missing", "credits topics apply")
        assert not stream_topics.apply(own.bootstrap, PARTITIONS, 1).problems
        platform.send(EVENTS)
        meter.goes_on(cause)
