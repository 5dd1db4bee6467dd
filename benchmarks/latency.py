"""Light load: how long after a usage event is produced does a reader hold the recharge command it causes?

Events arrive evenly; a responder answers every command with a success, so that balances keep falling to the trigger.
The clock runs from `produce()` of the event named in `caused_by` until a read_committed consumer has the command.
"""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from harness import GROUP, PARTITIONS, committed, fresh_broker, worker
from load import Events, Prices, producer, set_up_accounts

from processor.contracts import outputs, topics
from processor.domain.messages import RechargeDecided, RechargeDecidedData

TRIGGER_MICROS = 5_000_000
PAYMENT_MICROS = 10_000_000
READY_S = 60.0
SETTLE_S = 3.0
REST_S = 1.0


class Responder:
    """A payment worker that always succeeds, at once; remembers when it held which command."""

    def __init__(self, brokers: str) -> None:
        self.held: list[tuple[float, str, str]] = []
        self._results = producer(brokers, **{"linger.ms": 0})
        self._commands = Consumer(
            {
                "bootstrap.servers": brokers,
                "group.id": "benchmark-responder",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 100,
                "log_level": 0,
            }
        )
        places = [TopicPartition(topics.RECHARGE_COMMANDS, p, OFFSET_BEGINNING) for p in range(PARTITIONS)]
        self._commands.assign(places)
        self._stop = threading.Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Answers in a thread of its own."""
        thread = threading.Thread(target=self._run, name="responder")
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()
            self._results.flush(10)
            self._commands.close()

    def at_rest(self) -> bool:
        """Whether the latest command came long ago."""
        return time.monotonic() - self.held[-1][0] > REST_S

    def _run(self) -> None:
        while not self._stop.is_set():
            message = self._commands.poll(0.1)
            if message is None or message.error():
                continue
            held_at = time.monotonic()
            request = outputs.decode_request(message.value()).data
            self.held.append((held_at, request.caused_by, request.recharge_id))
            data = RechargeDecidedData(
                recharge_id=request.recharge_id,
                tenant_id=request.tenant_id,
                status="succeeded",
                amount_micros=request.amount_micros,
                currency=request.currency,
                provider="benchmark",
                decided_at=datetime.now(UTC),
            )
            result = RechargeDecided(specversion="1.0", id=f"r-{request.recharge_id}", source="/benchmarks", data=data)
            self._results.produce(topics.RECHARGE_RESULTS, msgspec.json.encode(result), message.key())
            self._results.poll(0)


def measure(
    directory: Path, prices: Prices, rates: Path, *, tenants: int, rate: int, warm_up_s: int, measured_s: int
) -> dict[str, float]:
    """Runs the whole case on a broker of its own and returns the figures, times in milliseconds."""
    sys.setswitchinterval(0.0005)
    count = rate * (warm_up_s + measured_s)
    step = timedelta(seconds=1 / rate)
    with fresh_broker() as brokers:
        events = Events(prices, tenants, datetime.now(UTC) - step * count, step, skew=False, seed=99)
        made = [events.next() for _ in range(count)]
        set_up_accounts(
            brokers,
            events.names,
            funds=TRIGGER_MICROS,
            spread=PAYMENT_MICROS,  # as later on: at any time some balance falls to its trigger
            payment=PAYMENT_MICROS,
            trigger=TRIGGER_MICROS,
        )
        responder = Responder(brokers)
        limits = {"CREDITS_MINIMUM_FUNDING_MICROS": "1000000"}
        with responder.running(), worker(brokers, directory, rates, **limits) as meter:
            deadline = time.monotonic() + READY_S + tenants / 2000
            with committed(brokers, GROUP, topics.ACCOUNT_COMMANDS) as done:
                while (opened := done()) < 2 * tenants:  # each is funded and has its auto-pay set
                    meter.check()
                    assert time.monotonic() < deadline, f"the meter is not up: {opened} of {2 * tenants} commands"
                    time.sleep(0.1)
            sent, begun, cores = _send(brokers, made, rate, warm_up_s, meter.cpu_s)
            time.sleep(SETTLE_S)
            peak = meter.peak_mib()
    took = sorted((held - sent[cause]) * 1000 for held, cause, _ in responder.held if sent.get(cause, 0) >= begun)
    ids = [recharge for _, _, recharge in responder.held]
    return {
        "events_per_s": rate,
        "commands": len(took),
        "p50_ms": quantile(took, 0.5),
        "p90_ms": quantile(took, 0.9),
        "p99_ms": quantile(took, 0.99),
        "max_ms": quantile(took, 1.0),
        "cores": round(cores, 2),
        "peak_mib": peak,
        "repeated_commands": len(ids) - len(set(ids)),
    }


def _send(brokers, made, rate, warm_up_s, cpu_s) -> tuple[dict[str, float], float, float]:
    """Sends the events evenly; returns when each left, when the measured part began, and the cores used in it."""
    client = producer(brokers, **{"linger.ms": 0})
    sent: dict[str, float] = {}
    begin = time.monotonic() + 0.5
    spent_s = 0.0
    for number, (tenant, event_id, value) in enumerate(made):
        due = begin + number / rate
        while (wait_s := due - time.monotonic()) > 0:
            time.sleep(wait_s)
        if number == rate * warm_up_s:
            spent_s = cpu_s()
        sent[event_id] = time.monotonic()
        client.produce(topics.USAGE_CALL, value, tenant)
        if not number % 20:
            client.poll(0)
    assert not client.flush(10)
    begun = begin + warm_up_s
    return sent, begun, (cpu_s() - spent_s) / (time.monotonic() - begun)


def quantile(ordered: list[float], share: float) -> float:
    """Returns the value that so large a share of ascending values does not exceed."""
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 1)
