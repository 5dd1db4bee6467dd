"""Writes the load of the benchmarks: usage events of the project's own types, deterministic but for the wall clock.

The generator keeps an oracle: what every tenant has to be charged, rated here independently of the meter.
"""

import bisect
import itertools
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
from confluent_kafka import Producer

from processor.contracts import topics
from processor.domain.messages import AutopaySet, AutopaySetData, CallData, CallUsage, Funded, FundedData

SOURCE = "/telephony/sbc-eu-1"
PAY_AS_YOU_GO = "MCOPSTN_PAYG"
"""No calling plan: credits pay from the first minute."""
DUPLICATES_WITHIN = 4096
ROWS: Final = 6599
"""Prefixes of the deck when nothing else is said, as many as a public card has."""
WINDOW = timedelta(hours=1)
"""How far back the events of one run are spread: recent enough for every guard of the meter."""

encode = msgspec.json.Encoder().encode
Prices = dict[str, int]


class LeanData(CallData, omit_defaults=True):
    """Call data as platforms send them: without fields that have nothing to say."""


class LeanCall(CallUsage, tag="telephony.call.v1", omit_defaults=True):
    """Record of `usage.call.v1` without empty fields."""


def deck(rows: int = ROWS, seed: int = 20261122) -> Prices:
    """Makes prefixes of 1 to 8 digits, a root for every first digit, with prices in micros per minute.

    A larger deck has more of the long ones, and at most every second prefix of a length; the rest has 8 digits.
    """
    r = random.Random(seed)
    prices = {str(digit): r.randrange(20_000, 400_000, 100) for digit in range(1, 10)}
    for digits, count in {2: 60, 3: 300, 4: 900, 5: 1700, 6: 1800, 7: 1300, 8: 530}.items():
        more = min(count * rows // ROWS, 9 * 10 ** (digits - 1) // 2)
        wanted = rows if digits == 8 else len(prices) + max(more, count)
        while len(prices) < wanted:
            prefix = f"{r.randint(10 ** (digits - 1), 10**digits - 1)}"
            prices.setdefault(prefix, r.randrange(4_000, 600_000, 100))
    return prices


def write_deck(prices: Prices, path: Path) -> None:
    """Writes the prices as a rate deck file."""
    rows = [f"{prefix},Destination {prefix},mixed,GB,{micros / 1e6:.6f}" for prefix, micros in sorted(prices.items())]
    path.write_text("\n".join(["prefix,destination,type,country,rate_per_min", *rows, ""]))


def longest_prefix(prices: Prices, number: str) -> int:
    """Looks a price up the plain way: the longest prefix of the digits."""
    return next(prices[number[:length]] for length in range(8, 0, -1) if number[:length] in prices)


def cumulated_weights(tenants: int, *, skew: bool) -> list[float]:
    """Uniform, or a power law: the first tenant has 35 %, the first ten have 90 %."""
    if not skew:
        return [(rank + 1) / tenants for rank in range(tenants)]
    band, tail = [1 / rank for rank in range(2, 11)], [1 / rank for rank in range(11, tenants + 1)]
    weights = [0.35] + [0.55 * w / sum(band) for w in band] + [0.10 * w / sum(tail) for w in tail]
    return list(itertools.accumulate(weights))


def names(tenants: int) -> list[str]:
    """Names the tenants of a load."""
    return [f"tenant-{number:05d}" for number in range(tenants)]


class Events:
    """Makes unique events one after another and remembers what each tenant owes for them."""

    def __init__(self, prices: Prices, tenants: int, first_at: datetime, step: timedelta, *, skew: bool, seed: int = 7):
        self.names = names(tenants)
        self.charged = dict.fromkeys(self.names, 0)
        self.id_prefix = f"evt-{seed:03d}-"
        self.made = 0
        self._prices, self._prefixes = prices, sorted(prices)
        self._found: Prices = {}
        self._cumulated = cumulated_weights(tenants, skew=skew)
        self._random = random.Random(seed)
        self._at, self._step, self._seed = first_at, step, seed

    def next(self) -> tuple[str, str, bytes]:
        """Returns tenant, event id and the record of the next event."""
        r, number = self._random.random, self.made
        self.made += 1
        self._at += self._step
        tenant = self.names[min(bisect.bisect(self._cumulated, r()), len(self.names) - 1)]
        digits = int(r() * 10**10)
        callee = (self._prefixes[int(r() * len(self._prefixes))] + f"{digits:010d}")[:12]
        connected_ms = 1000 + int(r() * r() * 900_000)
        self.charged[tenant] += -(-connected_ms // 60_000) * self._price(callee)
        event_id = f"{self.id_prefix}{number:09d}"
        data = LeanData(
            tenant_id=tenant,
            call_id=f"call-{self._seed:03d}-{number:09d}",
            leg_id="a",
            record_kind="final",
            call_type="user_out",
            caller=f"+155555501{digits % 100:02d}",
            callee="+" + callee,
            number_type="user",
            answered_at=self._at - timedelta(milliseconds=connected_ms),
            ended_at=self._at,
            connected_ms=connected_ms,
            user_id=f"user-{digits % 100_000:05d}",
            user_country="GB",
            capability=PAY_AS_YOU_GO,
            credits_licensed=True,
        )
        event = LeanCall(specversion="1.0", id=event_id, source=SOURCE, subject=tenant, time=self._at, data=data)
        return tenant, event_id, encode(event)

    def _price(self, number: str) -> int:
        """No prefix is longer than 8 digits, so the first 8 decide."""
        price = self._found.get(number[:8])
        if price is None:
            # UK premium numbers are refused, whatever their price.
            price = 0 if number.startswith("449") else longest_prefix(self._prices, number)
            self._found[number[:8]] = price
        return price


def producer(brokers: str, **more: object) -> Producer:
    """Returns a producer that puts a tenant where every other client would."""
    return Producer({"bootstrap.servers": brokers, "partitioner": "murmur2_random", "log_level": 0, **more})


PARTITIONER: Final = -1
"""Leaves the choice of the partition to the key."""

BULK: Final[dict[str, object]] = {
    "compression.type": "lz4",
    "linger.ms": 20,
    "batch.size": 1 << 20,
    "queue.buffering.max.messages": 200_000,
}
"""Settings of a producer that has much to write, compressed as the meter does."""


def send(
    client: Producer, topic: str, value: bytes | None, key: bytes | None, partition: int = PARTITIONER, at_ms: int = 0
) -> None:
    """Waits where the client's queue is full; without a time of its own a record is of now."""
    while True:
        try:
            client.produce(topic, value, key, partition, None, at_ms)
        except BufferError:
            client.poll(0.1)
        else:
            return


def preload(brokers: str, events: Events, records: int, compression: str = "lz4") -> float:
    """Puts `records` on the topic, 1 % of them repeated from the latest 4,096, and returns their mean size in bytes."""
    client = producer(
        brokers,
        **{
            "linger.ms": 50,
            "batch.size": 1 << 20,
            "compression.type": compression,
            "queue.buffering.max.messages": 500_000,
            "queue.buffering.max.kbytes": 1 << 20,
        },
    )
    failed: list[object] = []
    repeat = random.Random(8).random
    recent: list[tuple[str, bytes]] = []
    size = 0
    for number in range(records):
        if recent and repeat() < 0.01:
            tenant, value = recent[int(repeat() * len(recent))]
        else:
            tenant, _, value = events.next()
            if len(recent) < DUPLICATES_WITHIN:
                recent.append((tenant, value))
            else:
                recent[events.made % DUPLICATES_WITHIN] = tenant, value
        size += len(value)
        while True:
            try:
                client.produce(
                    topics.USAGE_CALL, value, tenant, on_delivery=lambda error, _: error and failed.append(error)
                )
                break
            except BufferError:
                client.poll(0.05)
        if not number & 4095:
            client.poll(0)
    left = client.flush(60)
    assert not left, f"{left} records were not delivered"
    assert not failed, failed[0]
    return size / records


def set_up_accounts(
    brokers: str, names: list[str], *, funds: int, payment: int, trigger: int, spread: int = 0, label: str = ""
) -> None:
    """Funds every tenant, if `funds`, and switches its auto-pay on; all in micros.

    Funds are evenly between `funds` and `spread` more, so that not all balances fall to the trigger together. The
    commands of another label are other commands.
    """
    client, now = producer(brokers, **{"linger.ms": 20, "queue.buffering.max.messages": 1 << 20}), datetime.now(UTC)
    for number, tenant in enumerate(names):
        autopay = AutopaySetData(
            tenant_id=tenant,
            enabled=True,
            payment_amount_micros=payment,
            trigger_micros=trigger,
            currency="USD",
            payment_method_ref="pm_benchmark",
            max_per_day=1_000_000,
        )
        command = AutopaySet(specversion="1.0", id=f"autopay-{tenant}{label}", source="/benchmarks", data=autopay)
        if funds:
            money = FundedData(
                tenant_id=tenant,
                amount_micros=funds + spread * number // len(names),
                currency="USD",
                purchased_at=now,
                payment_reference="benchmark",
            )
            funded = Funded(specversion="1.0", id=f"fund-{tenant}{label}", source="/benchmarks", data=money)
            client.produce(topics.ACCOUNT_COMMANDS, encode(funded), tenant)
        client.produce(topics.ACCOUNT_COMMANDS, encode(command), tenant)
        client.poll(0)
    assert not client.flush(60)
