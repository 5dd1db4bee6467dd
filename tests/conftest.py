"""Fixtures that need a real broker, one per test session with fresh topics per test, or a real browser."""

import shutil
import time
from collections.abc import Iterator

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from kafka.admin import KafkaAdminClient, MemberToRemove
from playwright.sync_api import Browser, sync_playwright

from processor.embedded import artifacts
from processor.embedded.broker import EmbeddedBroker
from processor.embedded.errors import BrokerError
from processor.stream import topics as stream_topics

PARTITIONS = 8
DELETED_S = 20.0


@pytest.fixture(scope="session")
def kafka_fetched() -> None:
    """What a broker needs is on this machine."""
    try:
        artifacts.jars()
        artifacts.java()
    except BrokerError as error:
        pytest.skip(f"no broker: {error}")


@pytest.fixture(scope="session")
def broker(kafka_fetched: None) -> Iterator[EmbeddedBroker]:
    """A running broker for the whole session; tests that freeze or kill one start their own.

    It keeps rights, and whoever connects without a name may do everything.
    """
    rights = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }
    with EmbeddedBroker(properties=rights) as running:
        yield running


@pytest.fixture
def topics(broker: EmbeddedBroker) -> str:
    """The broker's address, with every topic of the project fresh and empty, and nothing else of an earlier test."""
    delete_groups(broker.bootstrap)
    delete_topics(broker.bootstrap)
    done = stream_topics.apply(broker.bootstrap, PARTITIONS, 1)
    assert not done.problems
    return broker.bootstrap


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Debian's browser, driven by Playwright."""
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("Debian's chromium is not installed: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def delete_topics(bootstrap: str) -> None:
    """Deletes every topic that is not Kafka's own and returns when none is left."""
    client = AdminClient({"bootstrap.servers": bootstrap})
    deadline = time.monotonic() + DELETED_S
    while names := [name for name in client.list_topics(timeout=10).topics if not name.startswith("__")]:
        assert time.monotonic() < deadline, f"still there: {names}"
        for future in client.delete_topics(names, request_timeout=10).values():
            try:
                future.result()
            except KafkaException:  # deleted already, the listing lags behind
                time.sleep(0.01)


def delete_groups(bootstrap: str) -> None:
    """Deletes every consumer group.

    Workers are static members: one that was stopped keeps its place until its session is over, and the worker of the
    next test would wait for that, two minutes behind some tests. So whoever is left is removed first.
    """
    client = KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        groups = client.describe_groups([group["group_id"] for group in client.list_groups()])
        for name, group in groups.items():
            members = [MemberToRemove(each["member_id"], each["group_instance_id"]) for each in group["members"]]
            client.remove_group_members(name, members)
        assert set(client.delete_groups(list(groups)).values()) <= {"OK"}
    finally:
        client.close()
