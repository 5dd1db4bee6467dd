"""Crash tests leave dead producers and half-open transactions behind: each gets a broker of its own."""

from collections.abc import Iterator

import pytest

from processor.embedded.broker import EmbeddedBroker
from processor.stream import topics as stream_topics
from tests.crash.platform import PARTITIONS


@pytest.fixture
def topics(broker: EmbeddedBroker) -> Iterator[str]:
    """The address of a fresh broker with every topic; `broker` has made sure that one can be started here."""
    with EmbeddedBroker() as own:
        done = stream_topics.apply(own.bootstrap, PARTITIONS, 1)
        assert not done.problems
        yield own.bootstrap
