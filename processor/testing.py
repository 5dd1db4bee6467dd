"""Drives the meter in a test of yours: records in, outputs and accounts out, with no broker and a clock of its own.

What runs between the bytes that go in and those that come out is what a worker runs; only fetching and committing are
left out. A `Driver` owns every partition, commits each cycle at once, and reads what it has rerouted as a worker would.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import count, groupby
from typing import Any, Final, NamedTuple

import msgspec
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Message

from processor.contracts import outputs, topics
from processor.domain.account import Account
from processor.domain.corrections import Allocation, allocations
from processor.domain.tariff import Tariff
from processor.stream.balance_table import partition_of
from processor.stream.checkpoint import TABLES
from processor.stream.cycle import TIMERS_MAX
from processor.stream.event_ids import unpack
from processor.stream.originals import decode_entry
from processor.stream.partition import PartitionProcessor
from processor.stream.survey import Survey
from processor.stream.work import Work

Headers = Sequence[tuple[str, bytes | None]]


class Input(NamedTuple):
    """A record as a producer would send it; `key` is the tenant id.

    Without a `partition` it goes to the tenant's own; without `arrived_at` it arrives now.
    """

    topic: str
    key: str | bytes | None
    value: bytes | None
    headers: Headers = ()
    partition: int | None = None
    arrived_at: datetime | None = None


class Output(NamedTuple):
    """A committed record, as every reader of the topic gets it."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers

    def json(self) -> Any:
        """Returns the value as plain Python; raises `msgspec.DecodeError` where it is no JSON, as in `event.ids.v1`."""
        return msgspec.json.decode(self.value or b"")


def kafka_message(sent: Input, partition: int, offset: int, arrived_at: datetime) -> Message:
    """Returns the record as a consumer would hand it over."""
    return Message(
        topic=sent.topic,
        partition=partition,
        offset=offset,
        key=sent.key.encode() if isinstance(sent.key, str) else sent.key,
        value=sent.value,
        headers=list(sent.headers) or None,
        timestamp=(TIMESTAMP_LOG_APPEND_TIME, int((sent.arrived_at or arrived_at).timestamp() * 1000)),
    )


class Driver:
    """A meter with all of its partitions. `now` is its clock: set it, or `advance` it and let the timers fire.

    `outputs` are all records that were committed, in order.
    """

    def __init__(self, tariff: Tariff, *, now: datetime, partitions: int = 8) -> None:
        self.now = now
        self.partitions: Final = partitions
        self.outputs: list[Output] = []
        self._tariff = tariff
        self._offsets = count()
        self._ledger = _Ledger()
        self._processors = self._new_processors()

    def use(self, tariff: Tariff) -> None:
        """Prices with `tariff` from now on."""
        self._tariff = tariff
        for processor in self._processors:
            processor.tariff = tariff

    def send(self, topic: str, key: str | bytes | None, value: bytes | None, **more: Any) -> list[Output]:
        """Processes one record, see `Input`, in a cycle of its own; returns what was committed because of it."""
        return self.process(Input(topic, key, value, **more))

    def process(self, *records: Input) -> list[Output]:
        """Processes records in one cycle, then whatever was rerouted; returns what was committed."""
        known = len(self.outputs)
        fetched = [self._fetched(record) for record in records]
        while fetched:
            fetched = [
                self._fetched(Input(each.topic, each.key, each.value, each.headers, each.partition))
                for each in self._cycle(fetched)
            ]
        return self.outputs[known:]

    def advance(self, time: timedelta) -> list[Output]:
        """Lets time pass and fires every timer on the way at its own time; returns what was committed."""
        known, until = len(self.outputs), self.now + time
        while (due := self._due()) is not None and due <= until:
            self.now = max(self.now, due)
            self._cycle([])
        self.now = until
        return self.outputs[known:]

    def restart(self) -> None:
        """Forgets everything in memory and rebuilds it from what was committed, as another worker would."""
        self._processors = self._new_processors()
        for processor in self._processors:
            accounts, users = (MemoryTable(self._newest(topic, processor.number)) for topic in TABLES)
            processor.restored(accounts, users)
            survey = Survey(processor, accounts, horizon=None)
            while survey.step():
                pass
        for _, number, _, value, _ in self.records(topics.EVENT_IDS):
            self._processors[number].ids.fresh.update(unpack(value or b""))

    def records(self, topic: str) -> list[Output]:
        """Returns what was committed to one topic, in order."""
        return [output for output in self.outputs if output.topic == topic]

    def account(self, tenant_id: str) -> Account | None:
        """Returns a tenant's account as last published; None before anything was applied to it."""
        published = [each for each in self.records(topics.ACCOUNT_STATE) if each.key == tenant_id.encode()]
        return outputs.decode_account(published[-1].value or b"") if published else None

    def _newest(self, topic: str, number: int) -> dict[bytes, bytes | None]:
        mine = (each for each in self.records(topic) if each.partition == number)
        return {each.key: each.value for each in mine if each.key is not None}

    def _new_processors(self) -> list[PartitionProcessor]:
        return [
            PartitionProcessor(number, self.partitions, self._tariff, self._ledger) for number in range(self.partitions)
        ]

    def _fetched(self, sent: Input) -> Message:
        """Puts a record where a right producer would; one without a key may be anywhere."""
        partition = sent.partition
        if partition is None:
            key = sent.key.decode("utf-8", "replace") if isinstance(sent.key, bytes) else sent.key
            partition = partition_of(key, self.partitions) if key else 0
        return kafka_message(sent, partition, next(self._offsets), self.now)

    def _cycle(self, fetched: list[Message]) -> list[Output]:
        """Applies and commits; returns what was rerouted, which is input again."""
        work, touched = Work(self.now), set()
        for (topic, number), run in groupby(fetched, lambda record: (record.topic(), record.partition())):
            self._processors[number].process(topic, list(run), work)
            touched.add(number)
        touched |= {each.number for each in self._processors if each.fire(work, TIMERS_MAX)}
        for number in touched:
            self._processors[number].finish(work)
        committed = list(_committed(work))
        for output in committed:
            if output.topic == topics.LEDGER and output.value is not None:
                self._ledger.add(output.value)
        self.outputs += committed
        return [output for output in committed if output.topic == topics.USAGE_REROUTED]

    def _due(self) -> datetime | None:
        return min((due for each in self._processors if (due := each.timers.next()) is not None), default=None)


class MemoryTable:
    """The values of one partition of a changelog, as a checkpoint has them, but in memory."""

    written = 0

    def __init__(self, newest: Mapping[bytes, bytes | None]) -> None:
        self._values = {key: value for key, value in sorted(newest.items()) if value is not None}

    def get(self, key: bytes) -> bytes | None:
        """Returns the newest value."""
        return self._values.get(key)

    def after(self, key: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Returns so many keys behind `key` at most, in order, with their values."""
        return [(at, value) for at, value in self._values.items() if at > key][:limit]


class _Ledger:
    """What the ledger says of earlier charges, for corrections; in memory."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], Allocation] = {}

    def add(self, record: bytes) -> None:
        """Takes one record of the ledger."""
        for source, event_id, allocation in allocations([decode_entry(record).data]):
            self._found[source, event_id] = allocation

    def catch_up(self, number: int) -> None:
        """Has everything already."""

    def find(self, source: str, event_id: str) -> Allocation | None:
        """Finds the allocation of an event that was charged before."""
        return self._found.get((source, event_id))


def _committed(work: Work) -> Iterator[Output]:
    """Returns what a worker's transaction would hold, in its order."""
    for topic, partition, key, value, headers in work.outputs:
        encoded = [(name, held.encode() if isinstance(held, str) else held) for name, held in headers or ()]
        yield Output(topic, partition, key, value, encoded)
    for (topic, partition), changes in work.changelogs.items():
        for changed, record in changes:
            yield Output(topic, partition, changed, record, [])
