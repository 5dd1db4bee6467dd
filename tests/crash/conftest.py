"""Crash tests leave dead producers and half-open transactions behind: each gets a broker of its own."""

from collections.abc import Iterator

import pytest

from processor.embedded.broker import EmbeddedBroker
from processor.stream import topics as stream_topics
from tests.crash.platform import PARTITIONS
from tests.crash.workers import SESSION_TIMEOUT_S

KIP_848_SESSION = {"group.consumer.session.timeout.ms": str(SESSION_TIMEOUT_S * 1000)}
"""With KIP-848 the session is the broker's setting; here it is as long as the workers' with the classic protocol."""


@pytest.fixture
def own(kafka_fetched: None) -> Iterator[EmbeddedBroker]:
    """A fresh broker with every topic that a test may kill, freeze or restart."""
    with EmbeddedBroker(properties=KIP_848_SESSION) as running:
        done = stream_topics.apply(running.bootstrap, PARTITIONS, 1)
        assert not done.problems
        yield running


@pytest.fixture
def topics(own: EmbeddedBroker) -> str:
    """The address of a fresh broker with every topic."""
    return own.bootstrap
