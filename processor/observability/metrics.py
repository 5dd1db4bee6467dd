"""The worker's Prometheus metrics: base units, closed label sets that start at 0, never a tenant, user or number."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import accumulate, pairwise
from threading import Lock
from time import time
from typing import Any, Final, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

import processor
from processor.contracts import topics
from processor.domain.errors import REASONS
from processor.domain.ledger import NoticeKind
from processor.domain.pools import CONFERENCING, PLANS
from processor.domain.recharge import LIMITS
from processor.domain.tariff import Tariff
from processor.stream.checkpoint_writer import CheckpointWriter
from processor.stream.faults import CAUSES, Cause
from processor.stream.partition import KINDS as KIND_OF_TOPIC
from processor.stream.partition import PartitionProcessor
from processor.stream.rates import RESULTS
from processor.stream.rates import Result as RatesResult
from processor.stream.work import Work

KINDS: Final = tuple(KIND_OF_TOPIC.values())
OUTCOMES: Final = ("charged", "free", "refused", "applied", "duplicate", "corrected", "parked", "rerouted")
VERDICTS: Final = {"credits": "charged", "free": "free", "refused": "refused", "pool": "charged", "split": "charged"}
"""Who pays for a leg -> what became of the event."""
DECISIONS: Final = tuple(VERDICTS)
POOLS: Final = (*PLANS, CONFERENCING)
RECHARGE_OUTCOMES: Final = ("requested", "succeeded", "declined", "failed", "unknown")
BLOCKED: Final = (*LIMITS, "burst")
STEPS: Final = ("decode_apply", "commit")
AGE_BUCKETS_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0, 86_400.0)
STEP_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
ROUNDTRIP_BUCKETS_S: Final = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0)
BATCH_BUCKETS: Final = (1, 10, 100, 500, 1000, 2500, 5000, 10_000, 50_000)


class BulkHistogram(Collector):
    """A histogram that takes thousands of observations in one call; the stock one costs a microsecond each."""

    def __init__(self, name: str, documentation: str, bounds: Sequence[float], registry: CollectorRegistry) -> None:
        self._name, self._documentation, self._bounds = name, documentation, bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        self._lock = Lock()
        registry.register(self)

    def observe_all(self, values: list[float]) -> None:
        """Adds many observations; sorts the list that it is given."""
        values.sort()
        ends = [bisect_right(values, bound) for bound in self._bounds]
        with self._lock:
            for index, (low, high) in enumerate(pairwise([0, *ends, len(values)])):
                self._counts[index] += high - low
            self._sum += sum(values)

    def observe(self, value: float, times: int) -> None:
        """Adds one observation, several times."""
        with self._lock:
            self._counts[bisect_left(self._bounds, value)] += times
            self._sum += value * times

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Returns the present state to a scrape."""
        with self._lock:
            cumulative = list(accumulate(self._counts))
            total = self._sum
        names = [*(str(float(bound)) for bound in self._bounds), "+Inf"]
        family = HistogramMetricFamily(self._name, self._documentation)
        family.add_metric([], list(zip(names, cumulative, strict=True)), total)
        yield family


class Metrics:
    """Every metric of a worker, on a registry of its own."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # they would double the small series
        self.registry = registry = CollectorRegistry()
        self._owned: list[PartitionProcessor] = []

        def counter(name: str, text: str, **labels: Iterable[str]) -> Counter:
            metric = Counter(f"credits_{name}", text, list(labels), registry=registry)
            _start_at_zero(metric, labels)
            return metric

        def gauge(name: str, text: str, **labels: Iterable[str]) -> Gauge:
            metric = Gauge(f"credits_{name}", text, list(labels), registry=registry)
            _start_at_zero(metric, labels)
            return metric

        self.consumed = counter("events_consumed", "Committed input records.", topic=topics.INPUTS)
        self.events = counter("events", "What became of each record.", kind=KINDS, outcome=OUTCOMES)
        self.step_s = Histogram(
            "credits_batch_duration_seconds",
            "Time of one cycle by step.",
            ["step"],
            buckets=STEP_BUCKETS_S,
            registry=registry,
        )
        for step in STEPS:
            self.step_s.labels(step)
        self.batch_events = Histogram(
            "credits_batch_events", "Records per transaction.", buckets=BATCH_BUCKETS, registry=registry
        )
        self.age_s = BulkHistogram(
            "credits_event_age_seconds", "From the end of a leg to the commit of its debit.", AGE_BUCKETS_S, registry
        )
        self.delay_s = BulkHistogram(
            "credits_commit_delay_seconds",
            "From a record's arrival in Kafka to its commit; the oldest of a run counts for all of it.",
            AGE_BUCKETS_S,
            registry,
        )
        self.last_event = gauge(
            "last_event_timestamp_seconds", "When a record of this topic was last committed.", topic=topics.INPUTS
        )
        self.heartbeat = gauge(
            "heartbeat_timestamp_seconds", "When this stage last made progress.", stage=("loop", "commit")
        )
        self.dead_letters = counter("dead_letters", "Records parked, by reason.", reason=REASONS)
        self.invariants = counter(
            "invariant_violations", "Books that did not agree; the worker stops.", invariant=("account",)
        )
        self.stops = counter(
            "worker_stops", "Times the worker of this data directory stopped itself, by cause.", cause=CAUSES
        )
        self.broker_errors = counter(
            "broker_errors", "Connections to brokers that broke or could not be made, and other reports of the client."
        )
        self.debited = counter("debited_micros", "Micros debited, by who pays.", decision=DECISIONS)
        self.refunded = counter("refunded_micros", "Micros returned by corrections and voids.")
        self.pool_minutes = counter("pool_minutes", "Minutes paid by the pools of a plan.", pool=POOLS)
        self.recharges = counter(
            "recharge",
            "Recharges by outcome; unknown counts the deadlines that passed, after which it is asked for again.",
            outcome=RECHARGE_OUTCOMES,
        )
        self.timers = counter("timers", "Times that something of an account was due by the clock alone.")
        self.blocked = counter(
            "autopay_blocked",
            "Notices that a limit holds payments back; burst is an alarm, it holds nothing back.",
            reason=BLOCKED,
        )
        self.request_delay_s = BulkHistogram(
            "credits_recharge_request_delay_seconds",
            "From the fall of a balance to its trigger to the commit of the recharge command.",
            STEP_BUCKETS_S,
            registry,
        )
        self.roundtrip_s = BulkHistogram(
            "credits_recharge_roundtrip_seconds",
            "From the commit of a recharge command to that of its result, if one worker saw both.",
            ROUNDTRIP_BUCKETS_S,
            registry,
        )
        self._requested_at: dict[str, float] = {}
        self.in_flight = gauge("recharge_in_flight", "Recharges waiting for their result.")
        self.in_flight.set_function(lambda: sum(len(owned.standings.waiting) for owned in self._owned))
        self.notifications = counter(
            "notifications",
            "Notices published, by type.",
            type=get_args(NoticeKind),
        )
        self.recovery_s = gauge("recovery_duration_seconds", "How long the last rebuild of partitions took.")
        self.recovered = counter("recovered_records", "Changelog records read to rebuild partitions.")
        self.rebalances = counter("rebalances", "Assignments and revocations of partitions.")
        self.partitions = gauge("assigned_partitions", "Partitions owned by this worker.")
        self.event_ids = gauge("event_ids", "Identities remembered for de-duplication.")
        self.event_ids.set_function(lambda: sum(len(owned.ids) for owned in self._owned))
        self.unrateable = counter("unrateable", "Legs that no deck row priced, and that were free by the setting.")
        self.decks = Gauge(
            "credits_rate_decks_info",
            "1 for every rate deck in use, by its id (`deck`) and `version`.",
            ["deck", "version"],
            registry=registry,
        )
        self.reloads = counter(
            "rate_reloads", "Times the deck files were read again; a refused one changed nothing.", result=RESULTS
        )
        self.checkpoint_age_s = gauge(
            "checkpoint_age_seconds", "How long the oldest committed change has waited for the local checkpoint."
        )
        self.checkpoint_bytes = gauge("checkpoint_bytes", "What the local checkpoints take on the disk.")
        clock = gauge("time_seconds", "This machine's clock at the scrape, to be compared with Prometheus's.")
        clock.set_function(time)
        ProcessCollector(registry=registry)
        build = Gauge("credits_build_info", "Version of this worker.", ["version"], registry=registry)
        build.labels(processor.__version__).set(1)

    def watch_checkpoints(self, checkpoints: CheckpointWriter) -> None:
        """Asks for the age and size of the local checkpoints at every scrape."""
        self.checkpoint_age_s.set_function(checkpoints.age_s)
        self.checkpoint_bytes.set_function(checkpoints.size_bytes)

    def stopped_before(self, counts: Mapping[Cause, int]) -> None:
        """Tells why earlier processes of this data directory have stopped themselves."""
        for cause, count in counts.items():
            self.stops.labels(cause).inc(count)
        self.invariants.labels("account").inc(counts.get("books", 0))

    def committed(self, work: Work, commit_s: float) -> None:
        """Counts one committed cycle; called once per cycle, so no event pays for a metric."""
        now = time()
        for topic, count in work.consumed.items():
            self.consumed.labels(topic).inc(count)
            self.last_event.labels(topic).set(now)
        for (kind, outcome), count in work.outcomes.items():
            self.events.labels(kind, outcome).inc(count)
        for reason, count in work.parked.items():
            self.dead_letters.labels(reason).inc(count)
        for (kind, decision), (legs, micros) in work.usage.items():
            self.events.labels(kind, VERDICTS[decision]).inc(legs)
            self.debited.labels(decision).inc(micros)
        for decision, micros in work.charged_again.items():
            self.debited.labels(decision).inc(micros)
        self.refunded.inc(work.refunded_micros)
        for pool, minutes in work.pool_minutes.items():
            self.pool_minutes.labels(pool).inc(minutes)
        if work.unrated:
            self.unrateable.inc(work.unrated)
        for kind, count in work.notices.items():
            self.notifications.labels(kind).inc(count)
        for status, count in work.decided.items():
            self.recharges.labels(status).inc(count)
        self.timers.inc(work.timers)
        for request in work.requests:
            self.recharges.labels("requested" if request.attempt == 1 else "unknown").inc()
        for reason, count in work.blocked.items():
            self.blocked.labels(reason).inc(count)
        self.step_s.labels("decode_apply").observe(work.apply_s)
        self.step_s.labels("commit").observe(commit_s)
        if work.events:
            self.batch_events.observe(work.events)
        committed_at = datetime.now(UTC)
        self.age_s.observe_all([(committed_at - at).total_seconds() for at in work.happened_at])
        for arrived_ms, records in work.arrivals:
            self.delay_s.observe(max(now - arrived_ms / 1000, 0.0), records)
        for request in work.requests:
            if request.attempt == 1:
                self.request_delay_s.observe(max(now - request.requested_at.timestamp(), 0.0), 1)
                self._requested_at[request.recharge_id] = now
        for recharge_id in work.settled:
            if (requested_at := self._requested_at.pop(recharge_id, None)) is not None:
                self.roundtrip_s.observe(now - requested_at, 1)
        self.heartbeat.labels("commit").set(now)

    def assigned(self, processors: Iterable[PartitionProcessor]) -> None:
        """Remembers which partitions this worker owns."""
        self._owned = list(processors)
        self._requested_at.clear()  # who owns the tenants now will see the results
        self.partitions.set(len(self._owned))
        self.rebalances.inc()

    def recovered_partitions(self, records: int, duration_s: float) -> None:
        """Notes one rebuild."""
        self.recovered.inc(records)
        self.recovery_s.set(duration_s)

    def tariff_in_use(self, tariff: Tariff) -> None:
        """Names the decks that price from now on."""
        self.decks.clear()
        for deck in tariff.decks:
            self.decks.labels(deck.deck_id, deck.version).set(1)

    def rates_reloaded(self, result: RatesResult) -> None:
        """The deck files were read again."""
        self.reloads.labels(result).inc()

    def ticked(self) -> None:
        """The loop is alive."""
        self.heartbeat.labels("loop").set_to_current_time()

    def invariant_violated(self) -> None:
        """The books did not agree."""
        self.invariants.labels("account").inc()


def _start_at_zero(metric: Any, labels: dict[str, Iterable[str]]) -> None:
    combinations: list[list[str]] = [[]]
    for values in labels.values():
        combinations = [[*before, value] for before in combinations for value in values]
    if labels:
        for combination in combinations:
            metric.labels(*combination)
