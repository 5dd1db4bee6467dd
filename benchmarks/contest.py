"""Runs one program on the load of the benchmarks, on a broker of its own, and compares its ledger with the oracle."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import harness
import load
import runs
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec
from contestants import Peer
from exactness import Exactness, Expected, check

from processor.cli.reading import read_committed
from processor.contracts import topics
from processor.stream.reading import offsets

FUNDS_MICROS, PAYMENT_MICROS, TRIGGER_MICROS = 50_000_000, 50_000_000, 20_000_000
TIMEOUT_S = 600
QUIET_S, PATIENCE_S = 5.0, 120.0
"""A ledger that has not grown for so long is complete: plain Faust may commit offsets before it sends what is due."""


@dataclass(frozen=True)
class Stream:
    """The stream of events of one comparison: every program gets a prefix of it, the same bytes."""

    prices: load.Prices
    rates: Path
    tenants: int
    skew: bool
    step: timedelta
    first_at: datetime

    @classmethod
    def of(cls, prices: load.Prices, rates: Path, tenants: int, records: int, *, skew: bool) -> "Stream":
        """Spreads `records` events over the time before now."""
        return cls(prices, rates, tenants, skew, load.WINDOW / records, datetime.now(UTC) - load.WINDOW)

    def events(self) -> load.Events:
        """Returns the stream from its beginning."""
        return load.Events(self.prices, self.tenants, self.first_at, self.step, skew=self.skew)


def run(peer: Peer, directory: Path, stream: Stream, records: int) -> runs.Figures:
    """Preloads, runs the program until it has committed all, and counts what is wrong in its ledger."""
    directory.mkdir()
    with harness.fresh_broker() as brokers:
        events = prepare(peer, brokers, stream, records)
        with peer.start(brokers, directory, stream.rates) as program:
            figures = harness.follow(program, brokers, peer.group, topics.USAGE_CALL, records, TIMEOUT_S)
            late_s = _settle(program, brokers)
        exactness = _compare(peer, brokers, events)
    return figures | {"ledger_late_s": late_s, "unique_events": events.made} | exactness._asdict()


def prepare(peer: Peer, brokers: str, stream: Stream, records: int) -> load.Events:
    """Puts on the broker what the program needs and the beginning of the stream, and returns its oracle."""
    events = stream.events()
    if peer.funded:
        fund(brokers, events)
    _create(brokers, peer)
    load.preload(brokers, events, records, peer.compression)
    return events


def fund(brokers: str, events: load.Events) -> None:
    """Gives every tenant money and switches its auto-pay on."""
    load.set_up_accounts(brokers, events.names, funds=FUNDS_MICROS, payment=PAYMENT_MICROS, trigger=TRIGGER_MICROS)


def _create(brokers: str, peer: Peer) -> None:
    if not peer.changelogs:
        return
    new = [NewTopic(name, harness.PARTITIONS, 1, config=dict(conf)) for name, conf in peer.changelogs.items()]
    client = AdminClient(client_conf(brokers))  # must outlive its futures
    for future in client.create_topics(new).values():
        future.result()


def _settle(program: harness.Program, brokers: str) -> float:
    """Waits until the ledger has stopped growing; returns for how long it grew after the last commit of input."""
    began_s = grew_s = time.monotonic()
    places = [(topics.LEDGER, partition) for partition in range(harness.PARTITIONS)]
    before = None
    while time.monotonic() < min(grew_s + QUIET_S, began_s + PATIENCE_S):
        program.check()
        now = offsets(client_conf(brokers), places, OffsetSpec.latest())
        if before is not None and now != before:
            grew_s = time.monotonic()
        before = now
        time.sleep(harness.POLL_S)
    return round(grew_s - began_s, 2)


def _compare(peer: Peer, brokers: str, events: load.Events) -> Exactness:
    expected = Expected(events.id_prefix, events.made, events.charged, TRIGGER_MICROS)
    conf = client_conf(brokers)
    entries = (peer.form.entry(message) for message in read_committed(conf, topics.LEDGER))
    requests = (peer.form.request(message) for message in read_committed(conf, topics.RECHARGE_COMMANDS))
    return check(expected, entries, requests)


def client_conf(brokers: str) -> dict[str, object]:
    """Returns the configuration of a client that reads what a program has left."""
    return {"bootstrap.servers": brokers, "log_level": 0}
