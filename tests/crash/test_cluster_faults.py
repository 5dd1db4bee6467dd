"""Three brokers with three copies of everything: one may go at any moment, and the work goes on with the others."""

import signal
from pathlib import Path

from confluent_kafka import ElectionType
from confluent_kafka.admin import AdminClient, PartitionMetadata

from processor.embedded.cluster import EmbeddedCluster
from tests.crash.meters import EVENTS, PATIENT, MeterAt, declared, usage
from tests.crash.workers import drained, lag, wait_until


def partitions(cluster: EmbeddedCluster) -> list[PartitionMetadata]:
    """Returns what the cluster says about each partition of each topic."""
    client = AdminClient({"bootstrap.servers": cluster.bootstrap, "log_level": 0})
    topics = client.list_topics(timeout=10).topics.values()
    return [partition for topic in topics for partition in topic.partitions.values()]


def elect_preferred(cluster: EmbeddedCluster) -> None:
    """Gives every partition back to the node that led it at first."""
    client = AdminClient({"bootstrap.servers": cluster.bootstrap, "log_level": 0})
    client.elect_leaders(ElectionType.PREFERRED, None).result()


def test_leaders_that_die_inside_a_transaction_and_come_back_under_load_are_followed(
    kafka_fetched: None, tmp_path: Path, meter_at: MeterAt
) -> None:
    with declared(EmbeddedCluster(3), copies=3) as cluster:
        meter = meter_at(cluster.bootstrap, tmp_path / "a", **PATIENT)
        with usage(cluster.bootstrap) as platform:
            meter.start("B4:2:freeze")
            wait_until("the worker is inside a transaction", meter.frozen)
            cluster.nodes[0].kill()
            wait_until("others lead", lambda: all(found.leader in (2, 3) for found in partitions(cluster)))
            meter.signal(signal.SIGCONT)
            drained(cluster.bootstrap, meter)
            cluster.nodes[0].start()
            wait_until("three copies are in sync", lambda: all(len(found.isrs) == 3 for found in partitions(cluster)))
            platform.send(EVENTS)
            waiting = lag(cluster.bootstrap)
            wait_until("some input committed", lambda: lag(cluster.bootstrap) < waiting)
            elect_preferred(cluster)
            platform.send(EVENTS)
            drained(cluster.bootstrap, meter)
            assert meter.terminate() == 0
            assert set(meter.deaths) <= {75, 0}
