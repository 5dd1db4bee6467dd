"""Sends simulated records to Kafka at a steady rate and counts what the brokers acknowledged."""

import time
from collections.abc import Iterable, Mapping
from itertools import islice
from threading import Event
from typing import Any, Final

from confluent_kafka import KafkaError, Message, Producer
from msgspec import Struct

from processor.simulator.usage import Emitted

TICK_S: Final = 0.01
MOST_BEHIND_S: Final = 0.5
"""After a stall the platform catches up with at most this much, so that a pause does not become a flood."""
UNPACED_BURST: Final = 500
FLUSH_S: Final = 10.0


class Counts(Struct):
    """What became of the records: `unique` and `duplicates` were acknowledged by the brokers, `failed` were not."""

    sent: int = 0
    unique: int = 0
    duplicates: int = 0
    failed: int = 0
    last_error: str = ""

    @property
    def acknowledged(self) -> int:
        """Everything the brokers have."""
        return self.unique + self.duplicates


class Emitter:
    """The platform's producer: idempotent, so a record that is acknowledged is in its topic once.

    `conf` holds librdkafka's connection settings. Call `run` from one thread; `counts` may be read from any other.
    """

    def __init__(self, conf: Mapping[str, Any]) -> None:
        self.counts = Counts()
        self._producer = Producer(
            {
                **conf,
                "partitioner": "murmur2_random",
                "enable.idempotence": True,
                "compression.type": "lz4",
                "linger.ms": 20,
                "batch.num.messages": 20_000,
                "queue.buffering.max.messages": 200_000,
                "statistics.interval.ms": 0,
            }
        )

    def run(
        self,
        records: Iterable[Emitted],
        stop: Event,
        *,
        rate: float = 0.0,
        limit: int | None = None,
        seconds: float | None = None,
    ) -> Counts:
        """Sends until the records or the limits end or `stop` is set, then waits for the acknowledgements.

        `rate` is in records per second, 0 is as fast as possible.
        """
        source = iter(records)
        left = limit
        started = mark = time.monotonic()
        owed = 0.0
        while not stop.is_set():
            now = time.monotonic()
            if seconds is not None and now - started >= seconds:
                break
            owed = UNPACED_BURST if not rate else min(owed + (now - mark) * rate, max(rate * MOST_BEHIND_S, 1.0))
            mark = now
            burst = int(owed) if left is None else min(int(owed), left)
            sent = self._send(islice(source, burst), stop)
            owed -= sent
            if left is not None:
                left -= sent
            if sent < burst or left == 0:
                break
            self._producer.poll(0)
            if rate:
                stop.wait(max(TICK_S - (time.monotonic() - now), 0.0))
        return self.finish()

    def finish(self) -> Counts:
        """Waits for what is under way; what is left after ten seconds counts as failed."""
        unsent = self._producer.flush(FLUSH_S)
        if unsent:
            self._producer.purge()
            self._producer.flush(1)
        return self.counts

    def _send(self, records: Iterable[Emitted], stop: Event) -> int:
        produce, first, again = self._producer.produce, self._first, self._again
        sent = 0
        for topic, key, value, unique in records:
            while not stop.is_set():
                try:
                    produce(topic, value, key, on_delivery=first if unique else again)
                except BufferError:
                    self._producer.poll(TICK_S)
                else:
                    sent += 1
                    break
        self.counts.sent += sent
        return sent

    def _first(self, error: KafkaError | None, _message: Message) -> None:
        if error is None:
            self.counts.unique += 1
        else:
            self._fail(error)

    def _again(self, error: KafkaError | None, _message: Message) -> None:
        if error is None:
            self.counts.duplicates += 1
        else:
            self._fail(error)

    def _fail(self, error: KafkaError) -> None:
        self.counts.failed += 1
        self.counts.last_error = error.str()
