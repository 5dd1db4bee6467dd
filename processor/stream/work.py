"""What one cycle wants to commit: records to produce, offsets to store, and what happened, for the metrics."""

from collections import Counter, defaultdict
from datetime import datetime

from confluent_kafka import Message as Record

from processor.contracts import topics
from processor.domain.coverage import UNRATEABLE
from processor.domain.errors import InputRejected, InvariantViolated
from processor.domain.ledger import Entry, RechargeRequest
from processor.stream import dead_letters
from processor.stream.dead_letters import KafkaHeaders

Output = tuple[str, int, bytes | None, bytes | None, KafkaHeaders | None]
"""Topic, partition, key, value, headers."""

Change = tuple[bytes | None, bytes]
"""Key and value of one record of a changelog."""


class Work:
    """Gathers the effects of one batch; nothing of it is visible to anybody before the commit."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.events = 0
        self.outputs: list[Output] = []
        self.changelogs: dict[tuple[str, int], list[Change]] = {}
        """(topic, partition) -> what recovery reads back, in this order."""
        self.offsets: dict[tuple[str, int], int] = {}
        self.charges: dict[int, dict[bytes, bytes]] = defaultdict(dict)
        """By partition: identity of a usage event -> the ledger record that says what it was charged last."""
        self.named: set[str] = set()
        """Tenants whose account names a command of this cycle."""
        self.timers = 0
        """How many accounts time alone has changed."""
        self.event_ids: dict[int, list[bytes]] = defaultdict(list)
        # For the metrics of the committed cycle:
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.parked: Counter[str] = Counter()
        self.notices: Counter[str] = Counter()
        self.blocked: Counter[str] = Counter()
        self.usage: dict[tuple[str, str], list[int]] = {}
        """(kind, decision) -> number of legs, micros debited."""
        self.unrated = 0
        """Legs that no deck row priced, and that were free."""
        self.pool_minutes: Counter[str] = Counter()
        """Plan -> minutes that its pools have paid for."""
        self.refunded_micros = 0
        self.charged_again: Counter[str] = Counter()
        """Decision -> micros debited by corrections."""
        self.decided: Counter[str] = Counter()
        self.requests: list[RechargeRequest] = []
        self.settled: list[str] = []
        """Ids of the recharges that were decided."""
        self.arrivals: list[tuple[int, int]] = []
        """Arrival of a run's first record in milliseconds since 1970, and the length of the run."""
        self.happened_at: list[datetime] = []
        self.consumed: Counter[str] = Counter()
        self.apply_s = 0.0

    def used(self, kind: str, entries: list[Entry], ended_at: datetime) -> None:
        """Counts one applied usage event by what it was charged, or refunded."""
        last = entries[-1]
        usage = last.usage
        if usage is None or usage.corrects is not None:
            self._corrected(kind, entries)
            return
        decision = usage.decision
        if usage.reason == UNRATEABLE.reason:
            self.unrated += 1
        tally = self.usage.get((kind, decision))
        if tally is None:
            tally = self.usage[kind, decision] = [0, 0]
        tally[0] += 1
        tally[1] -= last.amount_micros
        if usage.pool is not None:
            self.pool_minutes[usage.pool.partition("/")[0]] += usage.pool_minutes
        self.happened_at.append(ended_at)

    def _corrected(self, kind: str, entries: list[Entry]) -> None:
        if not any(entry.kind == "refund" for entry in entries):
            raise InvariantViolated("a usage event was applied without a charge entry")
        self.outcomes[kind, "corrected"] += 1
        for entry in entries:
            if entry.kind == "refund":
                self.refunded_micros += entry.amount_micros
            elif entry.kind == "charge" and entry.usage is not None:
                self.charged_again[entry.usage.decision] -= entry.amount_micros

    def produce(
        self, topic: str, partition: int, key: bytes, value: bytes, headers: KafkaHeaders | None = None
    ) -> None:
        """Adds one record of ours to the transaction."""
        self.outputs.append((topic, partition, key, value, headers))

    def park(self, record: Record, stage: str, kind: str, rejected: InputRejected) -> None:
        """Adds the record, as it came, to the dead letters."""
        parked = dead_letters.park(record, stage, rejected)
        self.outputs.append((topics.DEAD_LETTERS, record.partition(), parked.key, parked.value, parked.headers))
        self.outcomes[kind, "parked"] += 1
        self.parked[rejected.reason] += 1

    def reroute(self, record: Record, home: int, kind: str) -> None:
        """Forwards the record, as it came, to the partition that owns its tenant."""
        self.outputs.append((topics.USAGE_REROUTED, home, record.key(), record.value(), record.headers() or None))
        self.outcomes[kind, "rerouted"] += 1
