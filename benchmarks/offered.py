"""Throughput and latency against the offered load: each rate for some seconds, one broker and one worker for all.

The events of a rate are made before it begins. They are sent by the clock, whatever the meter does, and a responder
answers every recharge command, as in latency.py. The meter has a core; broker, sender and responder share the other.
The latency is from `produce()` of an event to its recharge command in the hands of a read_committed reader; how late
the sender itself was is a figure of its own.
"""

import sys
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import harness
import load
import runs
from latency import Responder, quantile

from processor.contracts import topics

GROUP = "credits-meter"
TENANTS = 2000
RECHARGE_EVERY_S = 10
"""How long a payment lasts a tenant, in the mean, at every rate: 200 commands a second in all."""
GROUPS = 16
"""Tenants of one group have the same payment: were it that of all, they would all ask at once, again and again."""
TRIGGER_SHARE = 0.4
"""The payment is due when so much of the one before is left."""
LIMITS = {"CREDITS_MINIMUM_FUNDING_MICROS": "1000000"}
WARM_UP_RATE = 5_000
SETTLE_S = 5
"""Each rate is kept for so long before it is measured."""
LOOK_S = 0.25
SHARES = {"p50_ms": 0.5, "p99_ms": 0.99, "max_ms": 1.0}
SLICE_S = 0.001
WAIT_S = 120.0
SENDER = {"linger.ms": 5, "compression.type": "lz4", "queue.buffering.max.messages": 1_000_000}
"""5 ms is what librdkafka and, from version 4, the Java client wait for company when nothing else is said."""


class Look(NamedTuple):
    """How far everybody was at a time, and what that had cost."""

    at_s: float
    committed: int
    meter_s: float
    broker_s: float
    sender_s: float


class Sent(NamedTuple):
    """When each event left, by its number, and when the first was due."""

    begun_s: float
    at_s: array


def curve(directory: Path, rates_per_s: list[int], warm_up_s: int, measured_s: int) -> dict[str, runs.Figures]:
    """Returns the figures of every rate, which should ascend."""
    sys.setswitchinterval(0.0005)
    prices, deck = load.deck(), directory / "deck.csv"
    load.write_deck(prices, deck)
    with harness.running_broker() as broker:
        responder = Responder(broker.bootstrap)
        with (
            responder.running(),
            harness.worker(broker.bootstrap, directory, deck, **LIMITS) as meter,
            harness.committed(broker.bootstrap, GROUP, topics.USAGE_CALL) as committed,
        ):

            def look() -> Look:
                spent_s = meter.cpu_s(), harness.cpu_s(broker.pid), time.process_time()
                return Look(time.monotonic(), committed(), *spent_s)

            cases: dict[str, runs.Figures] = {}
            total = 0
            for seed, rate in enumerate([WARM_UP_RATE, *rates_per_s]):
                seconds = warm_up_s if seed == 0 else SETTLE_S + measured_s
                made, charged_micros = _made(prices, rate, seconds, seed)
                paid_rate = rate if seed else rates_per_s[0]  # what is left of larger payments would last for long
                payment = charged_micros * paid_rate // len(made) * RECHARGE_EVERY_S // TENANTS
                _ask_for_payments(broker.bootstrap, payment, seed)
                # At the first rate every account is below its trigger, at the next ones whatever has less than that.
                _until(meter, lambda: len(responder.held) >= TENANTS and responder.at_rest())
                total += len(made)
                with _looking(look) as looks:
                    sent = _send(broker.bootstrap, made, rate)
                _until(meter, lambda end=total: committed() >= end)
                _until(meter, responder.at_rest)
                if seed:
                    cases[f"load-{rate}"] = _figures(rate, looks, sent, _took(responder, seed, sent))
            return cases


def _made(prices: load.Prices, rate: int, seconds: int, seed: int) -> tuple[list[tuple[str, bytes]], int]:
    """Makes the events of one rate, as of the time they will be sent at; returns what they cost, too."""
    step = timedelta(seconds=1 / rate)
    events = load.Events(prices, TENANTS, datetime.now(UTC) - step * rate * seconds, step, skew=False, seed=seed)
    made = [(tenant, value) for tenant, _, value in (events.next() for _ in range(rate * seconds))]
    return made, sum(events.charged.values())


def _ask_for_payments(brokers: str, payment: int, seed: int) -> None:
    """Has the accounts recharged as often as at every other rate, each group at times of its own."""
    tenants = load.names(TENANTS)
    for group in range(GROUPS):
        own = payment * (GROUPS + 2 * group + 1) // (2 * GROUPS)  # from a half to three halves
        trigger = int(own * TRIGGER_SHARE)
        load.set_up_accounts(brokers, tenants[group::GROUPS], funds=0, payment=own, trigger=trigger, label=f"-{seed}")


def _send(brokers: str, made: list[tuple[str, bytes]], rate: int) -> Sent:
    """Sends the events evenly, a millisecond's worth at a time; later than due where it cannot keep up."""
    client = load.producer(brokers, **SENDER)
    at_s, number, count = array("d"), 0, len(made)
    begun = time.monotonic() + 0.1
    while number < count:
        due = min(int((time.monotonic() - begun) * rate) + 1, count)
        for tenant, value in made[number : max(due, number)]:
            at_s.append(time.monotonic())
            load.send(client, topics.USAGE_CALL, value, tenant)
        number = max(due, number)
        client.poll(0)
        time.sleep(SLICE_S)
    assert not client.flush(60)
    return Sent(begun, at_s)


def _took(responder: Responder, seed: int, sent: Sent) -> list[float]:
    """Returns how long the commands took, in ms, that events of the measured part caused."""
    prefix, begun = f"evt-{seed:03d}-", sent.begun_s + SETTLE_S
    took = []
    for held_s, cause, _ in list(responder.held):
        if cause.startswith(prefix) and (left_s := sent.at_s[int(cause[len(prefix) :])]) >= begun:
            took.append((held_s - left_s) * 1000)
    return sorted(took)


def _figures(rate: int, looks: list[Look], sent: Sent, took: list[float]) -> runs.Figures:
    measured = [look for look in looks if look.at_s >= sent.begun_s + SETTLE_S]
    first, last = measured[0], measured[-1]
    seconds = last.at_s - first.at_s
    late = sorted((at_s - sent.begun_s - number / rate) * 1000 for number, at_s in enumerate(sent.at_s))
    begin_s, end_s = sent.at_s[0], sent.at_s[-1]
    return {
        "offered_per_s": rate,
        "sent_per_s": round((len(sent.at_s) - 1) / (end_s - begin_s)),
        "achieved_per_s": round((last.committed - first.committed) / seconds),
        "commands": len(took),
        **{name: quantile(took, share) for name, share in SHARES.items() if took},
        "sender_late_p99_ms": quantile(late, 0.99),
        "meter_cores": round((last.meter_s - first.meter_s) / seconds, 2),
        "broker_cores": round((last.broker_s - first.broker_s) / seconds, 2),
        "sender_cores": round((last.sender_s - first.sender_s) / seconds, 2),
    }


@contextmanager
def _looking(look: Callable[[], Look]) -> Iterator[list[Look]]:
    """Looks again and again in a thread of its own: what it asks takes longer than the sender may wait."""
    looks, over = [look()], threading.Event()

    def run() -> None:
        while not over.wait(LOOK_S):
            looks.append(look())

    thread = threading.Thread(target=run, name="look")
    thread.start()
    try:
        yield looks
    finally:
        over.set()
        thread.join()


def _until(meter: harness.Program, reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not reached():
        meter.check()
        assert time.monotonic() < deadline, f"not reached within {WAIT_S:.0f} s"
        time.sleep(harness.POLL_S)
