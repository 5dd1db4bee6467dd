"""A small telephony platform and payment worker for the crash tests, with an oracle that shares no code with the meter.

Deck, prices and expected sums are written out here by hand, so that a wrong rule cannot agree with itself.
"""

import itertools
import json
import random
import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

PARTITIONS = 8
SOURCE = "/telephony/test"
FUNDING_MICROS = 50_000_000
TRIGGER_MICROS = 20_000_000
PAYMENT_MICROS = 50_000_000

RATES = {"44": 15_000, "447": 320_000, "49": 15_500, "33": 17_000, "336": 125_000, "1425": 13_000, "91": 45_001}
"""Micros per minute, billed 60/60."""


def write_deck(path: Path) -> Path:
    """Writes the tests' own rate deck."""
    rows = [f"{prefix},Place {prefix},landline,ZZ,{rate / 1e6:.6f}" for prefix, rate in RATES.items()]
    path.write_text("\n".join(["prefix,destination,type,country,rate_per_min", *rows]) + "\n")
    return path


def price(number: str, connected_ms: int) -> int:
    """Prices a leg by the longest prefix, whole minutes, half up; UK premium numbers are refused."""
    if number.startswith("+449"):
        return 0
    prefix = max((prefix for prefix in RATES if number.startswith("+" + prefix)), key=len)
    return RATES[prefix] * -(-connected_ms // 60_000)


@dataclass
class Expected:
    """What the ledger must say in the end."""

    usage: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Event id -> tenant and cost in micros, each exactly once."""

    funded: Counter[str] = field(default_factory=Counter)

    def spent(self) -> Counter[str]:
        """Sums the costs by tenant."""
        total: Counter[str] = Counter()
        for tenant, cost in self.usage.values():
            total[tenant] += cost
        return total


class Platform:
    """Emits unique calls and conference legs with duplicates among them, deterministic by seed except for the times.

    `misrouted` is the share of usage sent with librdkafka's own partitioner, most of it to a wrong partition;
    `fundings` the share of account commands among the usage.
    """

    def __init__(
        self,
        bootstrap: str,
        seed: int,
        tenants: int = 100,
        duplicates: float = 0.05,
        misrouted: float = 0.0,
        fundings: float = 0.0,
    ) -> None:
        self._random = random.Random(seed)
        self._tenants = [f"tenant-{index:04d}" for index in range(tenants)]
        self._duplicates = duplicates
        self._misrouted = misrouted
        self._fundings = fundings
        self._recent: list[tuple[str, str, bytes]] = []
        self._ids = itertools.count()
        self.expected = Expected()
        self.sent = self.repeated = self.misrouted = 0
        self.producer = _producer(bootstrap, "murmur2_random")
        self._stranger = _producer(bootstrap, "consistent_random") if misrouted else self.producer

    def open_accounts(self) -> None:
        """Funds every tenant and switches its auto-pay on."""
        for tenant in self._tenants:
            self._send(*self._funding(tenant, f"opening-{tenant}"))
            self.set_autopay(f"credits.autopay.set.v1-{tenant}", tenant, TRIGGER_MICROS, max_per_day=100_000)
        self.producer.flush()

    def set_autopay(self, event_id: str, tenant: str, trigger_micros: int, max_per_day: int) -> None:
        """Switches a tenant's auto-pay on."""
        autopay = {
            "tenant_id": tenant,
            "enabled": True,
            "payment_amount_micros": PAYMENT_MICROS,
            "trigger_micros": trigger_micros,
            "currency": "USD",
            "payment_method_ref": "card",
            "max_per_day": max_per_day,
        }
        self._send("account.commands.v1", tenant, _event(event_id, "credits.autopay.set.v1", tenant, autopay))

    def emit(self, unique: int) -> None:
        """Emits this many unique events out of their order in time, and some of them again."""
        records = []
        for _ in range(unique):
            records.append(record := self._unique())
            self._recent = [*self._recent[-500:], record] if self._random.random() < 0.02 else self._recent
            if self._recent and self._random.random() < self._duplicates:
                records.append(self._random.choice(self._recent))
                self.repeated += 1
        self._random.shuffle(records)
        for topic, tenant, value in records:
            astray = topic != "account.commands.v1" and self._random.random() < self._misrouted
            self.misrouted += astray
            self._send(topic, tenant, value, self._stranger if astray else self.producer)

    def send(self, unique: int) -> None:
        """Emits so many and returns when they are on the broker."""
        self.emit(unique)
        self.flush()

    def flush(self) -> None:
        """Returns when everything emitted is on the broker."""
        assert self.producer.flush() == self._stranger.flush() == 0

    def usage_emitted(self) -> int:
        """Returns how many unique events of usage there are."""
        return len(self.expected.usage)

    def _unique(self) -> tuple[str, str, bytes]:
        if self._random.random() < self._fundings:
            tenant = self._random.choice(self._tenants)
            return self._funding(tenant, f"funding-{next(self._ids):09d}")
        return self._usage()

    def _funding(self, tenant: str, event_id: str) -> tuple[str, str, bytes]:
        data = {
            "tenant_id": tenant,
            "amount_micros": FUNDING_MICROS,
            "currency": "USD",
            "purchased_at": _iso(datetime.now(UTC)),
            "payment_reference": "test",
        }
        self.expected.funded[tenant] += FUNDING_MICROS
        return "account.commands.v1", tenant, _event(event_id, "credits.funded.v1", tenant, data)

    def _usage(self) -> tuple[str, str, bytes]:
        pick = self._random
        tenant = pick.choice(self._tenants)
        number = "+" + (pick.choice(list(RATES)) + f"{pick.randrange(10**10):010d}")[:12]
        ms = int(pick.lognormvariate(11.0, 1.0)) + 1
        ended = datetime.now(UTC)
        event_id = f"e-{next(self._ids):09d}"
        times = _iso(ended - timedelta(milliseconds=ms)), _iso(ended)
        self.expected.usage[event_id] = (tenant, price(number, ms))
        if pick.random() < 0.2:
            return (
                "usage.conference.v1",
                tenant,
                _event(event_id, "telephony.conference.v1", tenant, _leg(tenant, number, ms, times)),
            )
        return "usage.call.v1", tenant, _event(event_id, "telephony.call.v1", tenant, _call(tenant, number, ms, times))

    def _send(self, topic: str, tenant: str, value: bytes, producer: Producer | None = None) -> None:
        producer = producer or self.producer
        while True:
            try:
                producer.produce(topic, value, tenant)
                break
            except BufferError:
                producer.poll(0.05)
        self.sent += 1
        if self.sent % 100 == 0:
            producer.poll(0)


class Payments:
    """Answers every committed recharge command with a success, each now and then twice."""

    def __init__(self, bootstrap: str, platform: Platform) -> None:
        self._bootstrap = bootstrap
        self._platform = platform
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._answer, daemon=True)
        self.answered = 0

    def __enter__(self) -> "Payments":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _answer(self) -> None:
        conf = {"bootstrap.servers": self._bootstrap, "log_level": 0}
        group = {"group.id": "payments", "isolation.level": "read_committed", "enable.auto.commit": False}
        consumer = Consumer(conf | group)
        consumer.assign([TopicPartition("recharge.commands.v1", p, OFFSET_BEGINNING) for p in range(PARTITIONS)])
        producer = Producer(conf | {"partitioner": "murmur2_random"})
        while not self._stop.is_set():
            record = consumer.poll(0.1)
            if record is None or record.error():
                continue
            asked = json.loads(record.value())["data"]
            result = {
                "recharge_id": asked["recharge_id"],
                "tenant_id": asked["tenant_id"],
                "status": "succeeded",
                "amount_micros": asked["amount_micros"],
                "currency": asked["currency"],
                "provider": "test",
                "decided_at": _iso(datetime.now(UTC)),
            }
            value = _event(asked["recharge_id"], "payments.recharge.decided.v1", asked["tenant_id"], result)
            for _ in range(1 + (self.answered % 7 == 0)):
                producer.produce("recharge.results.v1", value, asked["tenant_id"])
            producer.poll(0)
            self.answered += 1
        producer.flush()
        consumer.close()


def _producer(bootstrap: str, partitioner: str) -> Producer:
    return Producer(
        {
            "bootstrap.servers": bootstrap,
            "partitioner": partitioner,
            "linger.ms": 5,
            "enable.idempotence": True,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 500_000,
            "log_level": 0,  # its broker is killed and frozen on purpose
        }
    )


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _event(event_id: str, kind: str, tenant: str, data: dict[str, object]) -> bytes:
    envelope = {"specversion": "1.0", "id": event_id, "source": SOURCE, "type": kind, "subject": tenant, "data": data}
    return json.dumps(envelope).encode()


def _call(tenant: str, number: str, ms: int, times: tuple[str, str]) -> dict[str, object]:
    return {
        "tenant_id": tenant,
        "call_id": "c",
        "leg_id": "a",
        "record_kind": "final",
        "call_type": "user_out",
        "caller": "+14255550100",
        "callee": number,
        "number_type": "user",
        "answered_at": times[0],
        "ended_at": times[1],
        "connected_ms": ms,
        "credits_licensed": True,
    }


def _leg(tenant: str, number: str, ms: int, times: tuple[str, str]) -> dict[str, object]:
    return {
        "tenant_id": tenant,
        "conference_id": "m",
        "leg_id": "a",
        "record_kind": "final",
        "leg_kind": "dial_out",
        "remote_number": number,
        "joined_at": times[0],
        "left_at": times[1],
        "connected_ms": ms,
        "organizer_id": "o",
        "organizer_country": "US",
        "capability": "MCOMEETADD",
        "credits_licensed": True,
    }
