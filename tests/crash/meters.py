"""A worker with metrics that says why it ended, and what a fault test prepares."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from processor.embedded.broker import EmbeddedBroker, free_port
from processor.embedded.cluster import EmbeddedCluster
from processor.stream import topics as stream_topics
from processor.stream.faults import Cause, of
from tests.crash.platform import PARTITIONS, Payments, Platform, write_deck
from tests.crash.proof import prove
from tests.crash.steps import SMALL_BATCHES
from tests.crash.workers import WorkerProcess, drained, wait_until
from tests.stream.test_worker import metrics

Broker = TypeVar("Broker", EmbeddedBroker, EmbeddedCluster)

EVENTS = 3_000
PATIENT = {"CREDITS_SESSION_TIMEOUT_S": "30", "CREDITS_TRANSACTION_TIMEOUT_S": "10"}
"""Nothing is lost or too late for as long as the test lasts: the fault alone decides."""

SHORT = PATIENT | {"CREDITS_TRANSACTION_TIMEOUT_S": "3"}
"""The same, where the test waits for a transaction to be given up."""


class Meter(WorkerProcess):
    """A worker with metrics, and what it said about its end."""

    def __init__(self, bootstrap: str, directory: Path, **environment: str) -> None:
        self.port = free_port()
        self._bootstrap = bootstrap
        deck = write_deck(directory.with_suffix(".csv"))
        super().__init__(bootstrap, directory, deck, CREDITS_METRICS_PORT=str(self.port), **SMALL_BATCHES | environment)

    def ends_over(self, *causes: Cause, timeout_s: float = 120.0) -> Cause:
        """Waits for the end; it has the exit code of one of the causes and the log says what to do next."""
        code = self.ended(timeout_s)
        [line] = [line for line in self.log().splitlines() if '"the worker stops itself"' in line]
        said = json.loads(line)
        [cause] = [cause for cause in causes if cause == said["cause"]] or [None]
        assert cause, said
        assert (code, said["next_step"]) == (of(cause).exit_code, of(cause).next_step)
        return cause

    def refused(self, *words: str) -> None:
        """Starts it: it ends with 1 and says these words."""
        self.start()
        assert self.ended() == 1
        assert [word for word in words if word not in self.log()] == []

    def goes_on(self, after: Cause, *, perhaps_again: bool = False) -> None:
        """Starts it: it charges what is left and tells of the stop before; then it is killed."""
        self.start()
        drained(self._bootstrap, self)
        self.has_stopped_over(after, perhaps_again=perhaps_again)
        self.kill()

    def has_stopped_over(self, cause: Cause, *, perhaps_again: bool = False) -> None:
        """Waits until the present process tells Prometheus that one before it stopped over this, once.

        `perhaps_again` is for a cause that may strike while it starts.
        """

        def counted() -> bool:
            stops = metrics(self.port).get(f"credits_worker_stops_total:{cause}", 0)
            return stops >= 1 if perhaps_again else stops == 1

        wait_until("the stop is counted", counted)


MeterAt = Callable[..., Meter]


@contextmanager
def usage(bootstrap: str) -> Iterator[Platform]:
    """Funded tenants with usage, on the broker already, whose payments are answered.

    Behind the body, which leaves no worker, everything is proven.
    """
    platform = Platform(bootstrap, seed=17)
    platform.open_accounts()
    platform.send(EVENTS)
    with Payments(bootstrap, platform):
        yield platform
    prove(bootstrap, platform.expected)


@contextmanager
def declared(broker: Broker, copies: int = 1) -> Iterator[Broker]:
    """Runs a broker, or several, with every topic."""
    with broker:
        assert not stream_topics.apply(broker.bootstrap, PARTITIONS, copies).problems
        yield broker


def configure(bootstrap: str, topic: str, setting: str, value: str) -> None:
    entry = ConfigEntry(setting, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    client = AdminClient({"bootstrap.servers": bootstrap})  # must outlive its futures
    [future] = client.incremental_alter_configs([resource]).values()
    future.result()
