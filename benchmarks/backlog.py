"""How much memory a worker needs while it works off a long backlog: it must not depend on how long that is.

Fills the usage topic, starts a worker on a core of its own, as a user would, and looks at its memory until everything
is committed: its own, and with the mapped files of event ids, which the kernel takes back when it needs the space. What
may grow of its own is what is remembered: 2 bytes per event for de-duplication, and the accounts.

    .venv/bin/python benchmarks/backlog.py --events 10000000 --json
"""

import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import click
import harness
import load

from processor.contracts import topics

SAMPLES: Final = 20


class Sample(NamedTuple):
    """What the kernel says of the worker's memory, in MiB."""

    own_mib: int
    resident_mib: int


@click.command()
@click.option("--events", type=click.IntRange(10_000), default=10_000_000, show_default=True)
@click.option("--tenants", type=click.IntRange(1), default=2000, show_default=True)
@click.option("--skew/--uniform", default=True, show_default=True, help="The first tenant has 35 % of the traffic.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(events: int, tenants: int, skew: bool, as_json: bool) -> None:
    """Measure a worker's memory during a backlog on this machine."""
    prices, samples = load.deck(), dict[int, Sample]()
    made = load.Events(prices, tenants, datetime.now(UTC) - load.WINDOW, load.WINDOW / events, skew=skew)
    with harness.fresh_broker() as brokers, tempfile.TemporaryDirectory(prefix="credits-bench-") as name:
        deck = Path(name) / "deck.csv"
        load.write_deck(prices, deck)
        load.preload(brokers, made, events)
        with harness.worker(brokers, Path(name), deck) as worker:

            def look(point: harness.Point) -> None:
                """Notes the memory at every twentieth of the way."""
                step = point.records * SAMPLES // events
                if step and step not in samples:
                    samples[step] = Sample(worker.memory_mib("RssAnon"), worker.memory_mib())

            timeout_s = 120 + events / 2000
            figures = harness.follow(worker, brokers, harness.GROUP, topics.USAGE_CALL, events, timeout_s, look)
    quarter = samples[min(step for step in samples if step >= SAMPLES // 4)]
    figures |= {
        "own_peak_mib": max(sample.own_mib for sample in samples.values()),
        "own_grown_mib_in_last_three_quarters": samples[SAMPLES].own_mib - quarter.own_mib,
    }
    memory = {f"{100 * step // SAMPLES} %": sample._asdict() for step, sample in sorted(samples.items())}
    if as_json:
        click.echo(json.dumps({"machine": harness.machine(), "skew": skew, **figures, "memory": memory}, indent=2))
        return
    click.echo("done      own  with mapped files, MiB")
    for done, sample in memory.items():
        click.echo(f"{done:>5} {sample['own_mib']:7,} {sample['resident_mib']:7,}")
    click.echo("  ".join(f"{name} {value:,}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
