"""`make bench-peers`: the meter and other stream processors side by side, the same events, one after the other.

Every program runs alone on one core, on a broker of its own; the rate counts from its first committed offset to its
last. Its ledger is then compared with the generator's oracle. A slow one gets a shorter prefix of the same stream.
"""

import json
import signal
import statistics
import sys
import tempfile
from pathlib import Path

import click
import contest
import load
import runs
from contestants import ALL, METER, LeftOut, Peer
from exactness import Exactness
from rich.console import Console
from rich.table import Table

Rounds = dict[str, list[runs.Figures]]


@click.command()
@click.option("--events", type=click.IntRange(20_000), default=1_000_000, show_default=True, help="Records, at most.")
@click.option("--tenants", type=click.IntRange(10), default=2000, show_default=True)
@click.option("--skew", is_flag=True, help="One tenant has 35 % of the usage, ten have 90 %.")
@click.option("--rounds", type=click.IntRange(1), default=1, show_default=True, help="Times that everybody runs.")
@click.option("--only", type=click.Choice(list(ALL)), multiple=True, help="Default: all.")
@click.option("--record/--no-record", default=True, show_default=True, help=f"Append to {runs.DIRECTORY.name}/.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(
    events: int, tenants: int, skew: bool, rounds: int, only: tuple[str, ...], record: bool, as_json: bool
) -> None:
    """Measure the meter and its peers on this machine."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the programs under measurement end as well
    say = Console(stderr=True, quiet=as_json)
    peers, left_out = _ready([ALL[name] for name in only or ALL], say)
    if not peers:
        raise click.ClickException("nobody can run")
    with tempfile.TemporaryDirectory(prefix="credits-bench-") as name:
        directory = Path(name)
        rates, prices = directory / "benchmark-deck.csv", load.deck()
        load.write_deck(prices, rates)
        stream = contest.Stream.of(prices, rates, tenants, events, skew=skew)
        done: Rounds = {peer.name: [] for peer in peers}
        for number in range(rounds):
            for peer in peers:
                records = min(events, peer.most)
                say.print(f"{peer.name}: {records:,} records of {tenants:,} tenants{', skewed' if skew else ''} …")
                try:
                    done[peer.name].append(contest.run(peer, directory / f"{peer.name}-{number}", stream, records))
                except (RuntimeError, TimeoutError) as failure:  # it ended by itself, or never came to an end
                    left_out[peer.name] = f"round {number + 1}: {failure}"
                    say.print(f"{peer.name} has failed: {failure}", style="red", markup=False)
    cases = {name: _middle(figures) for name, figures in done.items() if figures}
    run = runs.new_run(cases, {"events": events, "tenants": tenants, "skew": skew, "rounds": rounds}, "peers")
    run |= {"versions": {name: ALL[name].version() for name in cases}, "left_out": left_out}
    if as_json:
        click.echo(json.dumps(run, indent=2))
    else:
        _show(run)
    if record:
        runs.append(run)


def _ready(wanted: list[Peer], say: Console) -> tuple[list[Peer], dict[str, str]]:
    """Installs and builds; returns who can run, and why the others cannot."""
    ready, left_out = [], {}
    for peer in wanted:
        try:
            peer.make_ready()
            ready.append(peer)
        except LeftOut as reason:
            left_out[peer.name] = str(reason)
            say.print(f"{peer.name} is left out: {reason}", style="yellow", markup=False)
    return ready, left_out


def _middle(rounds: list[runs.Figures]) -> runs.Figures:
    """Returns the round of the median rate, with the range of rates and the faults of all rounds."""
    rates = [figures["events_per_s"] for figures in rounds]
    middle = rounds[rates.index(statistics.median_low(rates))]
    faults = {name: sum(figures[name] for figures in rounds) for name in Exactness._fields}
    return middle | faults | {"slowest_events_per_s": min(rates), "fastest_events_per_s": max(rates)}


def _show(run: runs.Run) -> None:
    cases = run["cases"]
    table = Table(title=runs.title(run))
    table.add_column("program", no_wrap=True)
    for column in ("events/s", "2nd half", "CPU µs", "MiB", "meter ×"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("exact")
    for name, figures in cases.items():
        meters, own = cases.get(METER.name, {}).get("events_per_s"), figures["events_per_s"]
        table.add_row(
            name,
            f"{own:,}",
            f"{figures['events_per_s_second_half']:,}",
            f"{figures['cpu_s_per_million']:.1f}",
            f"{figures['peak_mib']:,}",
            f"{meters / own:.2f}" if meters and own else "",
            "no" if _faults(figures) else "yes",
        )
    Console().print(table)
    for name, figures in cases.items():
        click.echo(f"{name}: {run['versions'][name]}; {ALL[name].promise}")
        rates = f"{figures['slowest_events_per_s']:,} to {figures['fastest_events_per_s']:,} events/s"
        found = _faults(figures) or f"{figures['unique_events']:,} events charged, each once"
        click.echo(f"    {figures['records']:,} records, {rates} in {run['load']['rounds']} round(s); {found}")


def _faults(figures: runs.Figures) -> str:
    return ", ".join(f"{figures[name]:,} {name.replace('_', ' ')}" for name in Exactness._fields if figures[name])


if __name__ == "__main__":
    main()
