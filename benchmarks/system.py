"""`make bench`: what the README's figures come from. One worker on one core, a real broker, nothing else running.

Throughput: preloaded usage, events a second between the first and the last committed offset; then every balance is
verified and compared with the generator's oracle. Latency: see latency.py. Last, the same job as a plain Faust agent.
"""

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import contest
import contestants
import harness
import latency
import load
import runs
from rich.console import Console

from processor.cli.reading import read_committed
from processor.contracts import outputs, topics

TIMEOUT_S = 600


@click.command()
@click.option("--events", type=click.IntRange(1000), default=2_000_000, show_default=True, help="Records to preload.")
@click.option("--tenants", type=click.IntRange(10), default=2000, show_default=True)
@click.option("--skew", is_flag=True, help="One tenant has 35 % of the usage, ten have 90 %.")
@click.option("--seconds", type=click.IntRange(1), default=30, show_default=True, help="Measured part of the latency.")
@click.option("--rate", type=click.IntRange(10), default=1000, show_default=True, help="Events a second for latency.")
@click.option("--naive-events", type=click.IntRange(0), default=30_000, show_default=True, help="For plain Faust.")
@click.option("--only", type=click.Choice(["throughput", "latency", "naive"]), multiple=True, help="Default: all.")
@click.option("--record/--no-record", default=True, show_default=True, help=f"Append to {runs.DIRECTORY.name}/.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(
    events: int,
    tenants: int,
    skew: bool,
    seconds: int,
    rate: int,
    naive_events: int,
    only: tuple[str, ...],
    record: bool,
    as_json: bool,
) -> None:
    """Measure the meter on this machine and compare with its last recorded run."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the programs under measurement end as well
    say = Console(stderr=True, quiet=as_json)
    wanted = only or ("throughput", "latency", "naive")
    prices = load.deck()
    cases: dict[str, runs.Figures] = {}
    with tempfile.TemporaryDirectory(prefix="credits-bench-") as name:
        directory = Path(name)
        rates = directory / "benchmark-deck.csv"
        load.write_deck(prices, rates)
        if "throughput" in wanted:
            say.print(f"throughput: {events:,} records of {tenants:,} tenants{', skewed' if skew else ''} …")
            cases["throughput"] = throughput(_new(directory, "throughput"), prices, rates, events, tenants, skew=skew)
        if "latency" in wanted:
            say.print(f"latency: {rate:,} events/s, 60 s to warm up and {seconds} s measured …")
            cases["latency"] = latency.measure(
                _new(directory, "latency"),
                prices,
                rates,
                tenants=tenants,
                rate=rate,
                warm_up_s=60,
                measured_s=seconds,
            )
        if "naive" in wanted and naive_events:
            say.print(f"the same job as a plain Faust agent: {naive_events:,} records …")
            stream = contest.Stream.of(prices, rates, tenants, naive_events, skew=skew)
            cases["naive"] = contest.run(contestants.FAUST, directory / "naive", stream, naive_events)
    run = runs.new_run(cases, {"events": events, "tenants": tenants, "skew": skew, "rate": rate})
    runs.finish(run, record=record, as_json=as_json)
    if {"throughput", "naive"} <= cases.keys() and not as_json:
        ratio = cases["throughput"]["events_per_s"] / cases["naive"]["events_per_s"]
        click.echo(f"The meter does {ratio:.0f} times as many events per second as the plain Faust agent.")


def throughput(
    directory: Path, prices: load.Prices, rates: Path, records: int, tenants: int, *, skew: bool
) -> runs.Figures:
    """Preloads, runs one worker until all is committed, then proves that every balance is right."""
    with harness.fresh_broker() as brokers:
        events = contest.Stream.of(prices, rates, tenants, records, skew=skew).events()
        contest.fund(brokers, events)
        size = load.preload(brokers, events, records)
        with harness.worker(brokers, directory, rates) as meter:
            figures = harness.follow(meter, brokers, harness.GROUP, topics.USAGE_CALL, records, TIMEOUT_S)
        _verify(brokers)
        _compare_with_oracle(brokers, events)
    return figures | {"unique_events": events.made, "bytes_per_record": round(size)}


def _new(directory: Path, name: str) -> Path:
    (directory / name).mkdir()
    return directory / name


def _verify(brokers: str) -> None:
    command = [sys.executable, "-m", "processor.cli", "verify", "--json", "--brokers", brokers]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"credits verify found a drift:\n{done.stdout}{done.stderr}"


def _compare_with_oracle(brokers: str, events: load.Events) -> None:
    """Every tenant is charged what the generator says, once per unique event, and nothing was parked."""
    parked = list(read_committed(contest.client_conf(brokers), topics.DEAD_LETTERS))
    assert not parked, f"{len(parked)} records were parked: {parked[0].headers()}"
    states = {}
    for message in read_committed(contest.client_conf(brokers), topics.ACCOUNT_STATE):
        states[message.key().decode()] = outputs.decode_account(message.value())
    charged = {tenant: states[tenant].debited_micros for tenant in events.names}
    wrong = [tenant for tenant in events.names if charged[tenant] != events.charged[tenant]]
    assert not wrong, f"{len(wrong)} tenants are charged wrongly: {wrong[:5]}"
    entries = sum(state.revision for state in states.values())
    assert entries == events.made + len(events.names), "entries are one per unique event and one per funding"


if __name__ == "__main__":
    main()
