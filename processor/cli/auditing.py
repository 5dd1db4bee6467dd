"""Audits the books of a cluster in rounds: the first reads everything, a later one what has come since."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from processor.cli.reading import partitions_of, read_committed
from processor.contracts import inputs, topics
from processor.domain.audit import Books, Findings
from processor.domain.audit_recharges import AuditedCommand, AuditedResult, Recharges
from processor.domain.audit_records import AuditedEntry, AuditedState
from processor.domain.errors import InputRejected
from processor.domain.messages import RechargeDecided

if TYPE_CHECKING:
    from confluent_kafka import Message

PARTITIONS_AT_ONCE: Final = 16
"""Bounds the memory: the digests of events are kept for the partitions being read. Each turn costs 0.3 s."""

REMEMBERED: Final = 25_000_000
"""Events that later rounds know, twice as many at most: 400 MB."""

BEAT_EVERY: Final = 10_000
"""Records between two signs of life."""


class _EntryRecord(msgspec.Struct, gc=False):
    data: AuditedEntry


class _CommandRecord(msgspec.Struct, gc=False):
    data: AuditedCommand


_decode_entry = msgspec.json.Decoder(_EntryRecord).decode
_decode_command = msgspec.json.Decoder(_CommandRecord).decode
_decode_state = msgspec.json.Decoder(AuditedState).decode


class Report(msgspec.Struct):
    """What was checked and what was found; the `--json` output, with a finding per line of the table."""

    tenants: int
    entries: int
    recharges: int
    partial_tenants: int
    seconds: float
    drifts: int
    findings: list[dict[str, str]]


class Audit:
    """The books of one cluster; `conf` is `client_conf(settings)`.

    `follow` keeps the events of the whole cluster in mind, for rounds to come: 200 MB to 400 MB at most. Otherwise
    it is one round, and eight bytes per entry of sixteen partitions. `alive` is called again and again.
    """

    def __init__(
        self, conf: Mapping[str, Any], *, follow: bool = False, alive: Callable[[], None] = lambda: None
    ) -> None:
        self._conf = conf
        self._follow = follow
        self._alive = alive
        self._findings = Findings()
        self._books = Books(self._findings, REMEMBERED if follow else None)
        self._credited: list[AuditedEntry] = []
        """Every ledger entry of kind `recharge`."""
        self._next: dict[str, dict[int, int]] = {topics.ACCOUNT_STATE: {}, topics.LEDGER: {}}
        self._late: dict[str, AuditedState | None] = {}
        """States that came while the ledger was read: they are judged in the next round."""

    def round(self) -> Report:
        """Reads states, commands, ledger and results, in this order, and judges them.

        The books are read on from where the last round ended; the recharges, of which there are few, once more.
        Raises `TopicMissing` and `BrokerUnreachable`.
        """
        began = time.monotonic()
        findings, books = Findings(), self._books
        recharges = Recharges(findings, books)
        for tenant, state in (self._late | self._new_states()).items():
            books.state(tenant, state)
        for message in read_committed(self._conf, topics.RECHARGE_COMMANDS):
            recharges.command(_decode_command(_value(message)).data)
        self._read_ledger()
        for entry in self._credited:
            recharges.entry(entry)
        self._read_results(recharges)
        recharges.close()
        stateless = books.stateless()
        self._late = self._new_states() if stateless else {}
        books.close(stateless - {tenant for tenant, state in self._late.items() if state is not None})
        found = [*self._findings.kept, *findings.kept]
        return Report(
            tenants=books.tenants,
            entries=books.entries,
            recharges=recharges.count,
            partial_tenants=books.partial,
            seconds=round(time.monotonic() - began, 3),
            drifts=self._findings.count + findings.count,
            findings=[msgspec.to_builtins(finding) for finding in found],
        )

    def _read_ledger(self) -> None:
        partitions, books = range(partitions_of(self._conf, topics.LEDGER)), self._books
        for first in partitions[::PARTITIONS_AT_ONCE]:
            chosen = partitions[first : first + PARTITIONS_AT_ONCE]
            for message in self._new(topics.LEDGER, chosen):
                entry = _decode_entry(_value(message)).data
                books.entry(entry)
                if entry.kind == "recharge":
                    self._credited.append(entry)
            if suspects := books.suspects():
                books.confirm(self._again(partitions if self._follow else chosen), suspects)
            if not self._follow:
                books.forget_events()

    def _again(self, partitions: range) -> Iterator[AuditedEntry]:
        """Yields the entries that have been read, once more."""
        read = self._next[topics.LEDGER]
        for message in read_committed(self._conf, topics.LEDGER, partitions):
            if message.offset() < read.get(message.partition(), 0):
                yield _decode_entry(_value(message)).data

    def _new(self, topic: str, partitions: range | None = None) -> "Iterator[Message]":
        """Yields what has come since the last round, and remembers where it ended."""
        read = self._next[topic]
        for number, message in enumerate(read_committed(self._conf, topic, partitions, since=read.copy())):
            yield message
            read[message.partition()] = message.offset() + 1
            if number % BEAT_EVERY == 0:
                self._alive()

    def _new_states(self) -> dict[str, AuditedState | None]:
        """Returns the latest new state of every tenant that has one; None where it was deleted."""
        states: dict[str, AuditedState | None] = {}
        for message in self._new(topics.ACCOUNT_STATE):
            value = message.value()
            states[(message.key() or b"").decode()] = None if value is None else _decode_state(value)
        return states

    def _read_results(self, recharges: Recharges) -> None:
        """Reads the results that the meter accepts; the others it parks, and they decide nothing."""
        seen: set[int] = set()
        for message in read_committed(self._conf, topics.RECHARGE_RESULTS):
            if message.partition() not in seen:
                seen.add(message.partition())
                recharges.results_trimmed |= message.offset() > 0
            try:
                event = inputs.decode(topics.RECHARGE_RESULTS, message.value(), message.headers())
            except InputRejected:
                continue
            assert isinstance(event, RechargeDecided)  # noqa: S101 - what the topic accepts
            data = event.data
            result = AuditedResult(data.recharge_id, data.tenant_id, data.status, data.amount_micros, data.decided_at)
            recharges.result(event.source, event.id, result)


def _value(message: "Message") -> bytes:
    value: bytes | None = message.value()
    assert value is not None, "the meter writes no empty records to this topic"  # noqa: S101
    return value
