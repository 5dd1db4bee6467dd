"""How long usage waits while one of two workers is restarted: the longest time without a committed ledger entry.

Two workers share eight partitions under an even load. One of them is told to stop and started again under its name as
soon as it has ended, several times. A read_committed consumer of the ledger notes when each entry arrives; the figures
are the longest gaps within a partition, for the partitions of the worker that goes on and for those of the restarted
one. The gap while nothing is restarted is the noise of the machine.

    .venv/bin/python benchmarks/rolling.py --json
"""

import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import click
import harness
import load
import runs
from confluent_kafka import OFFSET_END, Consumer, TopicPartition

from processor.contracts import topics

PROTOCOLS = ("classic", "consumer")
QUIET_S = 5.0
"""How long the load runs undisturbed before each restart, and at least after it."""

TIMEOUT_S = 120.0


class Reader:
    """Notes when each committed ledger entry arrives, by partition."""

    def __init__(self, brokers: str) -> None:
        self.arrived: dict[int, list[float]] = {number: [] for number in range(harness.PARTITIONS)}
        self._consumer = Consumer(
            {
                "bootstrap.servers": brokers,
                "group.id": "benchmark-reader",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 10,
                "log_level": 0,
            }
        )
        self._consumer.assign([TopicPartition(topics.LEDGER, number, OFFSET_END) for number in self.arrived])

    def run(self, enough: threading.Event) -> None:
        """Reads until it is enough."""
        while not enough.is_set():
            for record in self._consumer.consume(1, 0.05) + self._consumer.consume(10_000, 0):
                if record.error() is None:
                    self.arrived[record.partition()].append(time.monotonic())
        self._consumer.close()

    def pause_ms(self, numbers: set[int], since: float, until: float) -> int:
        """Returns the longest time without an entry in any of these partitions."""
        longest = 0.0
        for number in numbers:
            times = [since, *(at for at in self.arrived[number] if since < at < until), until]
            longest = max(longest, *(after - before for before, after in pairwise(times)))
        return round(longest * 1000)


def produce(brokers: str, events: load.Events, rate: int, enough: threading.Event) -> None:
    """Sends events evenly until it is enough."""
    client = load.producer(brokers, **{"linger.ms": 0})
    due = time.monotonic()
    while not enough.is_set():
        tenant, _, value = events.next()
        client.produce(topics.USAGE_CALL, value, tenant)
        client.poll(0)
        due += 1 / rate
        enough.wait(max(due - time.monotonic(), 0))
    client.flush(10)


@contextmanager
def beside(*tasks: Callable[[threading.Event], None]) -> Iterator[None]:
    """Runs tasks in threads of their own until the body is done."""
    enough = threading.Event()
    threads = [threading.Thread(target=task, args=(enough,)) for task in tasks]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        enough.set()
        for thread in threads:
            thread.join()


def owned(worker: harness.Program) -> set[int]:
    """Returns the partitions that a worker has at the moment, as its log tells."""
    numbers: set[int] = set()
    for line in worker.log.read_text().splitlines():
        said = json.loads(line) if line.startswith("{") else {}
        if said.get("event") == "worker started":
            numbers = set()
        elif said.get("event") == "partitions adopted":
            numbers |= set(said["partitions"])
        elif said.get("event") == "partitions released":
            numbers -= set(said["partitions"])
    return numbers


def await_true(what: str, condition: Callable[[], bool]) -> None:
    """Polls a condition."""
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(harness.POLL_S)


def measure(
    directory: Path, deck: Path, prices: load.Prices, protocol: str, *, tenants: int, rate: int, rolls: int
) -> runs.Figures:
    """Runs one protocol on a broker of its own and returns its figures."""
    with harness.fresh_broker() as brokers:
        step = timedelta(seconds=1 / rate)
        events = load.Events(prices, tenants, datetime.now(UTC) - load.WINDOW, step, skew=False)
        load.set_up_accounts(brokers, events.names, funds=0, payment=10_000_000, trigger=5_000_000)
        reader = Reader(brokers)

        def start(name: str) -> harness.Program:
            (directory / name).mkdir(exist_ok=True)
            return harness.worker(brokers, directory / name, deck, CREDITS_GROUP_PROTOCOL=protocol)

        def both_own(going: harness.Program, coming: harness.Program) -> bool:
            going.check()
            coming.check()
            found = owned(going), owned(coming)
            return len(found[0]) == len(found[1]) == harness.PARTITIONS // 2 and not found[0] & found[1]

        steady, others, own, ended_s, back_s = [], [], [], [], []
        with start("a") as going, beside(reader.run, lambda enough: produce(brokers, events, rate, enough)):
            coming = start("b")
            for _ in range(rolls):
                with coming:
                    await_true("both workers own partitions", lambda: both_own(going, coming))  # noqa: B023
                    kept, moved = owned(going), owned(coming)
                    quiet = time.monotonic()
                    time.sleep(QUIET_S)
                    began = time.monotonic()
                # The worker was told to stop and has ended.
                ended = time.monotonic()
                coming = start("b")
                await_true("both workers own partitions", lambda: both_own(going, coming))  # noqa: B023
                back = time.monotonic()
                time.sleep(QUIET_S)
                over = time.monotonic()
                steady.append(reader.pause_ms(kept | moved, quiet + 1, began))
                others.append(reader.pause_ms(kept, began, over))
                own.append(reader.pause_ms(moved, began, over))
                ended_s.append(ended - began)
                back_s.append(back - ended)
            with coming:
                pass
    return {
        "undisturbed_ms": max(steady),
        "other_worker_ms": max(others),
        "restarted_worker_ms": max(own),
        "to_stop_s": round(max(ended_s), 2),
        "to_own_again_s": round(max(back_s), 2),
    }


@click.command()
@click.option("--tenants", type=click.IntRange(8), default=4000, show_default=True)
@click.option("--rate", type=click.IntRange(100), default=800, show_default=True, help="Events per second.")
@click.option("--rolls", type=click.IntRange(1), default=5, show_default=True, help="Restarts per protocol.")
@click.option("--only", type=click.Choice(PROTOCOLS), multiple=True, help="Group protocols.  [default: both]")
@click.option("--record", is_flag=True, help="Add the run to benchmarks/results.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(tenants: int, rate: int, rolls: int, only: tuple[str, ...], record: bool, as_json: bool) -> None:
    """Measure a rolling restart on this machine."""
    prices, cases = load.deck(), {}
    for protocol in only or PROTOCOLS:
        with tempfile.TemporaryDirectory(prefix="credits-bench-") as name:
            deck = Path(name) / "deck.csv"
            load.write_deck(prices, deck)
            cases[protocol] = measure(Path(name), deck, prices, protocol, tenants=tenants, rate=rate, rolls=rolls)
    run = runs.new_run(cases, {"tenants": tenants, "rate": rate, "rolls": rolls}, "rolling")
    runs.finish(run, record=record, as_json=as_json)


if __name__ == "__main__":
    main()
