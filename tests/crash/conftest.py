"""Crash tests leave dead producers and half-open transactions behind: each gets a broker of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from processor.embedded.broker import EmbeddedBroker
from tests.crash.meters import Meter, MeterAt, declared
from tests.crash.workers import SESSION_TIMEOUT_S

KIP_848_SESSION = {"group.consumer.session.timeout.ms": str(SESSION_TIMEOUT_S * 1000)}
"""With KIP-848 the session is the broker's setting; here it is as long as the workers' with the classic protocol."""


@pytest.fixture
def own(kafka_fetched: None) -> Iterator[EmbeddedBroker]:
    """A fresh broker with every topic that a test may kill, freeze or restart."""
    with declared(EmbeddedBroker(properties=KIP_848_SESSION)) as running:
        yield running


@pytest.fixture
def topics(own: EmbeddedBroker) -> str:
    """The address of a fresh broker with every topic."""
    return own.bootstrap


@pytest.fixture
def meter_at() -> Iterator[MeterAt]:
    """Makes workers that are gone when the test is over, however it ends."""
    made: list[Meter] = []

    def make(bootstrap: str, directory: Path, **environment: str) -> Meter:
        made.append(Meter(bootstrap, directory, **environment))
        return made[-1]

    yield make
    for meter in made:
        if meter.started() and meter.running():
            meter.kill()
