"""`make bench-growth`: how rate and memory change with accounts, remembered ids, partitions, prefixes and offered load.

Each axis changes one of them and leaves the others at 2,000 accounts, no ids, 8 partitions and 6,599 prefixes. Every
point is a case of the recorded run, with a broker and workers of its own; `benchmarks/plots.py` draws them.
"""

import signal
import sys
import tempfile
from pathlib import Path

import click
import offered
import runs
from rich.console import Console
from steady import Size, measure

POINTS: dict[str, tuple[int, ...]] = {
    "load": (1_000, 10_000, 20_000, 40_000, 48_000, 56_000, 64_000),
    "accounts": (1_000, 100_000, 1_000_000, 5_000_000),
    "prefixes": (10_000, 1_000_000),
    "partitions": (8, 64, 256),
    "ids": (1_000_000, 10_000_000, 50_000_000),
    "processes": (1, 2),
}
IDLE_S = 10.0


@click.command()
@click.option("--axis", type=click.Choice(list(POINTS)), multiple=True, help="Default: all.")
@click.option("--points", default="", help="Sizes on the axis, comma-separated  [those of the documentation]")
@click.option("--events", type=click.IntRange(1000), default=500_000, show_default=True, help="Of one point.")
@click.option("--idle", type=float, default=IDLE_S, show_default=True, help="Seconds of rest that are measured.")
@click.option("--seconds", type=click.IntRange(1), default=20, show_default=True, help="Measured per offered load.")
@click.option("--warm-up", type=click.IntRange(1), default=45, show_default=True, help="Seconds, before any load.")
@click.option("--record/--no-record", default=True, show_default=True, help=f"Append to {runs.DIRECTORY.name}/.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(
    axis: tuple[str, ...],
    points: str,
    events: int,
    idle: float,
    seconds: int,
    warm_up: int,
    record: bool,
    as_json: bool,
) -> None:
    """Measure how this machine's figures grow, one axis after the other."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the programs under measurement end as well
    say = Console(stderr=True, quiet=as_json)
    for name in axis or POINTS:
        values = [int(point) for point in points.split(",")] if points else list(POINTS[name])
        cases: dict[str, runs.Figures] = {}
        if name == "load":
            say.print(f"offered load: {values} events/s …")
            with tempfile.TemporaryDirectory(prefix="credits-bench-") as directory:
                cases = offered.curve(Path(directory), values, warm_up, seconds)
            used = {"axis": name, "seconds": seconds}
        else:
            for value in values:
                say.print(f"{value:,} {name}: {events:,} events …")
                with tempfile.TemporaryDirectory(prefix="credits-bench-") as directory:
                    cases[f"{name}-{value}"] = measure(Size()._replace(**{name: value}), events, idle, Path(directory))
            used = {"axis": name, "events": events}
        runs.finish(runs.new_run(cases, used, "growth"), record=record, as_json=as_json)


if __name__ == "__main__":
    main()
