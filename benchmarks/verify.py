"""How long an audit takes and what memory it needs: `credits verify` on a ledger of a given size, on one core.

The ledger is real: usage events go through the meter's own code, without a broker, and what it would have committed is
written to one. The command then runs as a process of its own, pinned to one core, the broker on the other. Its time is
CPU time, of all of its threads.

    .venv/bin/python benchmarks/verify.py --entries 1000000 --json
"""

import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import harness
import load

from processor.contracts import topics
from processor.contracts.decks import load_decks
from processor.domain.policy import Policy
from processor.domain.tariff import Tariff
from processor.testing import Driver, Input, Output

AT_ONCE = 2000
AUDITED = (topics.LEDGER, topics.RECHARGE_COMMANDS)


@click.command()
@click.option("--entries", type=click.IntRange(1000), default=1_000_000, show_default=True)
@click.option("--tenants", type=click.IntRange(1), default=2000, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(entries: int, tenants: int, as_json: bool) -> None:
    """Measure `credits verify` on this machine."""
    gc.set_threshold(100_000, 10, 1000)
    with harness.fresh_broker() as brokers:
        write(brokers, ledger(entries, tenants))
        figures = measure(brokers)
    assert figures["entries"] == entries, figures
    if as_json:
        click.echo(json.dumps({"machine": harness.machine(), "tenants": tenants, **figures}, indent=2))
    else:
        click.echo("  ".join(f"{name} {value:,}" for name, value in figures.items()))


def measure(brokers: str) -> dict[str, float]:
    """Runs the command and asks the system what it took."""
    command = [sys.executable, "-m", "processor.cli", "verify", "--brokers", brokers, "--json"]
    os.sched_setaffinity(0, {harness.WORK_CORE})  # inherited by the child
    began = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        report = json.loads(child.stdout.read())
        _, status, spent = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    seconds, cpu_s = time.monotonic() - began, spent.ru_utime + spent.ru_stime
    return {
        "entries": report["entries"],
        "tenants": report["tenants"],
        "drifts": report["drifts"],
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu_s, 2),
        "entries_per_cpu_s": round(report["entries"] / cpu_s),
        "peak_mib": spent.ru_maxrss // 1024,
    }


def ledger(entries: int, tenants: int) -> Iterator[Output]:
    """Yields what a meter commits for so many charges, and the state of every account at the end."""
    prices = load.deck()
    with tempfile.TemporaryDirectory(prefix="credits-bench-") as name:
        path = Path(name) / "deck.csv"
        load.write_deck(prices, path)
        tariff = Tariff(load_decks([path], "USD"), Policy())
    now = datetime.now(UTC)
    events = load.Events(prices, tenants, now - load.WINDOW, load.WINDOW / entries, skew=False)
    meter = Driver(tariff, now=now, partitions=harness.PARTITIONS)
    states: dict[bytes | None, Output] = {}
    made = 0
    while made < entries:
        batch = [events.next() for _ in range(min(AT_ONCE, entries - made))]
        made += len(batch)
        meter.process(*(Input(topics.USAGE_CALL, tenant, value) for tenant, _, value in batch))
        for output in meter.outputs:
            if output.topic == topics.ACCOUNT_STATE:
                states[output.key] = output
            elif output.topic in AUDITED:
                yield output
        meter.outputs.clear()
        meter.now += timedelta(milliseconds=1)
    yield from states.values()


def write(brokers: str, outputs: Iterator[Output]) -> None:
    """Writes records as the meter does."""
    producer = load.producer(brokers, **load.BULK)
    for output in outputs:
        load.send(producer, output.topic, output.value, output.key, output.partition)
        producer.poll(0)
    assert producer.flush(60) == 0


if __name__ == "__main__":
    main()
