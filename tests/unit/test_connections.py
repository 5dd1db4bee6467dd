"""A broker that is out of reach is said once a minute and counted each time."""

from confluent_kafka import KafkaError
from prometheus_client import CollectorRegistry, Counter
from structlog.testing import capture_logs

from processor.observability.connections import Connections
from processor.stream.faults import diagnose


def test_the_same_trouble_is_said_once_a_minute_and_counted_each_time() -> None:
    registry, now = CollectorRegistry(), [0.0]
    deaths: list[BaseException] = []
    connections = Connections(Counter("errors", "Errors.", registry=registry), deaths.append, clock=lambda: now[0])
    refused, down = KafkaError(KafkaError._TRANSPORT), KafkaError(KafkaError._ALL_BROKERS_DOWN)
    with capture_logs() as logged:
        for error in (refused, refused, down):
            connections(error)
        now[0] = 60.0
        connections(refused)
    assert [line["error"] for line in logged] == [refused.str(), down.str(), refused.str()]
    assert all("brokers" in line["next_step"] for line in logged)
    assert registry.get_sample_value("errors_total") == 4
    assert deaths == []


def test_a_topic_that_is_gone_ends_the_worker_at_once() -> None:
    deaths: list[BaseException] = []
    connections = Connections(Counter("errors", "Errors.", registry=CollectorRegistry()), deaths.append)
    connections(KafkaError(KafkaError._UNKNOWN_PARTITION))
    [death] = deaths
    assert diagnose(death).cause == "topic_missing"
