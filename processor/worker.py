"""The stream processor: settings become objects here, and nowhere else."""

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from typing import Any, Final, NoReturn

import structlog
import uvloop

from processor.contracts import topics
from processor.contracts.decks import load_decks
from processor.domain.tariff import Tariff
from processor.observability.canonical import CanonicalLine
from processor.observability.census import Census
from processor.observability.connections import Connections
from processor.observability.health import Health
from processor.observability.metrics import Metrics
from processor.observability.stops import Stops
from processor.settings import Settings
from processor.stream import allocator, faults
from processor.stream.batch_transport import BatchApp, NoTables
from processor.stream.checkpoint_writer import CheckpointWriter
from processor.stream.clock import SteadyClock
from processor.stream.cycle import Cycle
from processor.stream.instance import DataDir
from processor.stream.lane import Lane
from processor.stream.originals import LedgerIndex
from processor.stream.partition import PartitionProcessor
from processor.stream.rates import Rates
from processor.stream.recovery import recover
from processor.stream.survey import Surveyor
from processor.stream.transaction import Transactions

log = structlog.get_logger()

DAY_MS: Final = 86_400_000

COMMIT_TIMEOUTS: Final = 2
"""Transaction timeouts that a commit may take: by then the broker has aborted its transaction.

librdkafka's calls are not left to give up by themselves: one of them may never do so when its broker goes away
(confluentinc/librdkafka#5456).
"""

RECOVERY_PATIENCE_S: Final = 240
"""How long an assignment may take before the worker gives up; below `max.poll.interval.ms`, so the group waits."""


class Worker:
    """One worker process: a Faust app with one agent, the lane, the cycle and the metrics."""

    def __init__(self, settings: Settings, partitions: int) -> None:
        self.settings = settings
        self.data_dir = DataDir(settings.data_dir, settings.instance)
        self.metrics = _metrics(settings, self.data_dir.instance)
        self.stops = Stops(self.data_dir.path / "stops")
        self.metrics.stopped_before(self.stops.counts)
        self.rates = Rates(
            settings.rates,
            lambda: Tariff(load_decks(settings.rates, settings.default_currency), settings.policy),
            self.metrics,
            settings.rates_poll_s,
        )
        client = settings.librdkafka() | {"log_level": 2}  # what matters of it is logged in our words
        checkpoints = CheckpointWriter(
            self.data_dir.path / "checkpoint",
            window_ms=(settings.deduplication_days + 1) * DAY_MS,  # as event.ids.v1 keeps them
            interval_s=settings.checkpoint_interval_s,
            on_death=self.die,
        )
        self.metrics.watch_checkpoints(checkpoints)
        corrections = settings.policy.corrections
        self.charges = LedgerIndex(self.data_dir.path / "charges", client, corrections, RECOVERY_PATIENCE_S)
        self.cycle = Cycle(
            Transactions(
                client,
                f"{settings.app_id}-{self.data_dir.instance}",
                settings.transaction_timeout_s,
                epoch_moves=settings.group_protocol == "consumer",
            ),
            self.rates.tariff,
            lambda number, tariff: PartitionProcessor(
                number, partitions, tariff, self.charges, settings.accounts_in_memory
            ),
            lambda fresh: recover(client, settings.app_id, fresh, checkpoints, RECOVERY_PATIENCE_S),
            checkpoints,
            self.metrics,
            batch_max_events=settings.batch_max_events,
            linger_s=settings.linger_ms / 1000,
            on_death=self.die,
            clock=SteadyClock(),
            commit_within_s=COMMIT_TIMEOUTS * settings.transaction_timeout_s,
        )
        self.lane = Lane(
            consumer_config(settings, client, self.data_dir.instance)
            | {"error_cb": Connections(self.metrics.broker_errors, self.die)},
            topics.INPUTS,
            self.cycle,
            batch_max_events=settings.batch_max_events,
            patience_s=RECOVERY_PATIENCE_S,
            on_death=self.die,
        )
        self.cycle.group_metadata = self.lane.group_metadata
        self.health = Health(lambda: self.lane.assigned, lambda: self.cycle.committing_since)
        owned = self.cycle.processors.values
        self.surveyor = Surveyor(owned)
        self.census = Census(self.metrics.registry, owned, lambda: self.lane.lag, settings.policy)
        self.canonical_line = CanonicalLine(self.metrics.registry)
        self.app = faust_app(settings, self.lane, self.cycle, self.die)

    def die(self, error: BaseException) -> None:
        """Ends the process at once: nothing is rolled back in memory, the supervisor starts a new one."""
        fault = faults.diagnose(error)
        said = f"{type(error).__name__}: {error}"
        log.error("the worker stops itself", cause=fault.cause, error=said, next_step=fault.next_step, exc_info=error)
        self._end(fault)

    def _end(self, fault: faults.Fault) -> NoReturn:
        """Ends the process; the next one tells Prometheus why."""
        self.stops.add(fault.cause)
        os._exit(fault.exit_code)

    def _end_within(self, budget_s: float) -> None:
        """Ends the process after this time, whatever it still waits for: what is not committed is read again."""

        def give_up() -> None:
            fault = faults.of("stop_timeout")
            log.error(
                "the time for stopping is over: ending as it is",
                cause=fault.cause,
                timeout_s=budget_s,
                next_step=fault.next_step,
            )
            self._end(fault)

        timer = threading.Timer(budget_s, give_up)
        timer.daemon = True
        timer.start()

    def _die_of(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.die(error)

    async def run(self) -> None:
        """Works until SIGTERM or SIGINT, then settles the running commit and leaves the group.

        Whatever a stop waits for (a commit, the polling thread, the group's coordinator), all of it together has
        `shutdown_timeout_s`; then the process ends as it is.
        """
        stop = asyncio.Event()

        def told_to_stop() -> None:
            if not stop.is_set():
                self.health.stopping()
                self._end_within(self.settings.shutdown_timeout_s)
                stop.set()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, told_to_stop)
        ticking = loop.create_task(self.health.tick(), name="health")
        loop.add_signal_handler(signal.SIGHUP, self.rates.reload)
        await self.cycle.start()
        await self.app.start()
        beside = [
            loop.create_task(task)
            for task in (
                self.rates.watch(self.cycle.use),
                self.surveyor.run(),
                self.census.run(),
                self.canonical_line.run(),
            )
        ]
        for task in beside:
            task.add_done_callback(self._die_of)
        log.info("worker started", instance=self.data_dir.instance, app=self.settings.app_id)
        await self.app.wait_for_stopped(stop)
        if self.app.crashed:
            self.die(self.app.crash_reason or RuntimeError("the Faust app crashed"))
        log.info("worker stopping")
        for task in beside:
            task.cancel()
        await self.lane.stop()
        await self.cycle.stop()
        self.charges.close()
        await self.app.stop()
        ticking.cancel()
        log.info("worker stopped")


def _metrics(settings: Settings, instance: str) -> Metrics:
    if not settings.tracing_endpoint:
        return Metrics()
    from processor.observability.tracing import TracedMetrics, open_tracer

    return TracedMetrics(open_tracer(settings.tracing_endpoint, "credits-worker", instance))


def consumer_config(settings: Settings, client: dict[str, object], instance: str) -> dict[str, Any]:
    """The lane's consumer: committed records only, offsets in the transaction only, co-partitioned by range."""
    config: dict[str, Any] = {
        **client,
        "group.id": settings.app_id,
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        # Input that is gone before it was charged is a loss that a person must hear of.
        "auto.offset.reset": "error",
        # So that a position can be moved behind the markers of a transaction, before retention deletes them.
        "enable.partition.eof": True,
        # Without a minimum the broker answers a fetch of all 40 partitions for every single record that arrives.
        "fetch.min.bytes": 32_768,
        "fetch.wait.max.ms": 10,
        "fetch.queue.backoff.ms": 5,
        "fetch.message.max.bytes": 512 << 10,
        "queued.max.messages.kbytes": 65_536,
        "max.poll.interval.ms": 300_000,
    }
    if settings.group_protocol == "consumer":
        # No instance id in the group: KIP-848 refuses a killed member's return until its session has run out.
        return config | {"group.protocol": "consumer", "group.remote.assignor": "range"}
    return config | {
        "group.instance.id": instance,
        "partition.assignment.strategy": "range",
        "session.timeout.ms": settings.session_timeout_s * 1000,
        "heartbeat.interval.ms": max(settings.session_timeout_s * 1000 // 6, 100),
    }


def faust_app(settings: Settings, lane: Lane, cycle: Cycle, on_death: Callable[[BaseException], None]) -> BatchApp:
    """The Faust frame: one agent that hands every batch to the cycle."""
    app = BatchApp(
        settings.app_id,
        broker=f"kafka://{settings.brokers.split(',')[0]}",
        store="memory://",
        datadir=str(settings.data_dir / "faust"),
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        stream_wait_empty=False,
        table_standby_replicas=0,
        TableManager=NoTables,
        loop=asyncio.get_event_loop(),
    )
    app.lane = lane

    @app.agent(app.topic(*topics.INPUTS, key_serializer="raw", value_serializer="raw", value_type=None))
    async def meter(stream: Any) -> None:
        async for event in stream.noack().events():
            try:
                cycle.offer(event.message.value)
            except Exception as error:  # noqa: BLE001 - Faust would restart the agent and lose the batch
                on_death(error)
            event.ack()

    return app


def run(settings: Settings, partitions: int, on_ready: Callable[[Worker], None] | None = None) -> None:
    """Runs one worker in this process until it is told to stop."""
    allocator.tune()

    async def main() -> None:
        worker = Worker(settings, partitions)
        if on_ready is not None:
            on_ready(worker)
        try:
            await worker.run()
        except Exception as error:  # noqa: BLE001 - whatever it is, the process must not go on
            worker.die(error)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
