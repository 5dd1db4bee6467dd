"""`make bench`: what the README's figures come from. One worker on one core, a real broker, nothing else running.

Throughput: preloaded usage, events a second between the first and the last committed offset; then every balance is
verified and compared with the generator's oracle. Latency: see latency.py. Last, the same job as a plain Faust agent.
"""

import json
import re
import signal
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import click
import harness
import latency
import load
from confluent_kafka.admin import AdminClient, NewTopic
from rich.console import Console
from rich.table import Table

from processor.cli.reading import read_committed
from processor.contracts import outputs, topics

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
GROUP = "credits-meter"
FUNDS_MICROS, PAYMENT_MICROS, TRIGGER_MICROS = 50_000_000, 50_000_000, 20_000_000
TIMEOUT_S = 600

Figures = dict[str, float]


@click.command()
@click.option("--events", type=click.IntRange(1000), default=2_000_000, show_default=True, help="Records to preload.")
@click.option("--tenants", type=click.IntRange(10), default=2000, show_default=True)
@click.option("--skew", is_flag=True, help="One tenant has 35 % of the usage, ten have 90 %.")
@click.option("--seconds", type=click.IntRange(1), default=30, show_default=True, help="Measured part of the latency.")
@click.option("--rate", type=click.IntRange(10), default=1000, show_default=True, help="Events a second for latency.")
@click.option("--naive-events", type=click.IntRange(0), default=30_000, show_default=True, help="For plain Faust.")
@click.option("--only", type=click.Choice(["throughput", "latency", "naive"]), multiple=True, help="Default: all.")
@click.option("--record/--no-record", default=True, show_default=True, help=f"Append to {RESULTS.name}/.")
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
    cases: dict[str, Figures] = {}
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
            cases["naive"] = naive(_new(directory, "naive"), prices, rates, naive_events, tenants, skew=skew)
    run = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": harness.machine(), "cases": cases}
    run |= {"load": {"events": events, "tenants": tenants, "skew": skew, "rate": rate}}
    before = last_run(run)
    if as_json:
        click.echo(json.dumps(run, indent=2))
    else:
        show(run, before)
    if record:
        append(run)


def throughput(directory: Path, prices: load.Prices, rates: Path, records: int, tenants: int, *, skew: bool) -> Figures:
    """Preloads, runs one worker until all is committed, then proves that every balance is right."""
    with harness.fresh_broker() as brokers:
        events = _events(prices, tenants, records, skew=skew)
        load.set_up_accounts(brokers, events.names, funds=FUNDS_MICROS, payment=PAYMENT_MICROS, trigger=TRIGGER_MICROS)
        size = load.preload(brokers, events, records)
        with harness.worker(brokers, directory, rates) as meter:
            figures = harness.follow(meter, brokers, GROUP, topics.USAGE_CALL, records, TIMEOUT_S)
        _verify(brokers)
        _compare_with_oracle(brokers, events)
    return figures | {"unique_events": events.made, "bytes_per_record": round(size)}


def naive(directory: Path, prices: load.Prices, rates: Path, records: int, tenants: int, *, skew: bool) -> Figures:
    """The same for the plain Faust agent, on a smaller slice of the same load."""
    with harness.fresh_broker() as brokers:
        events = _events(prices, tenants, records, skew=skew)
        load.preload(brokers, events, records, compression="none")  # its client brings no codecs of its own
        _create_changelogs(brokers)
        environment = {"CREDITS_BROKERS": brokers, "CREDITS_DATA_DIR": str(directory), "CREDITS_RATES": str(rates)}
        command = [sys.executable, str(HERE / "faust_naive" / "app.py")]
        with harness.Program(command, environment, directory / "faust.log") as agent:
            figures = harness.follow(agent, brokers, "faust-naive", topics.USAGE_CALL, records, TIMEOUT_S)
        entries = [json.loads(message.value()) for message in read_committed(_conf(brokers), topics.LEDGER)]
    charged = -sum(entry["amount_micros"] for entry in entries)
    assert (len(entries), charged) == (events.made, sum(events.charged.values())), "plain Faust charged something else"
    return figures | {"unique_events": events.made}


def _create_changelogs(brokers: str) -> None:
    """Creates the tables' topics: Faust does so as well, but may start before it sees them, and then loses events."""
    names = ("faust-naive-accounts-changelog", "faust-naive-seen-changelog")
    new = [NewTopic(name, harness.PARTITIONS, 1, config={"cleanup.policy": "compact"}) for name in names]
    client = AdminClient(_conf(brokers))
    for future in client.create_topics(new).values():
        future.result()


def _events(prices: load.Prices, tenants: int, records: int, *, skew: bool) -> load.Events:
    step = load.WINDOW / records
    return load.Events(prices, tenants, datetime.now(UTC) - load.WINDOW, step, skew=skew)


def _new(directory: Path, name: str) -> Path:
    (directory / name).mkdir()
    return directory / name


def _conf(brokers: str) -> dict[str, object]:
    return {"bootstrap.servers": brokers, "log_level": 0}


def _verify(brokers: str) -> None:
    command = [sys.executable, "-m", "processor.cli", "verify", "--json", "--brokers", brokers]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"credits verify found a drift:\n{done.stdout}{done.stderr}"


def _compare_with_oracle(brokers: str, events: load.Events) -> None:
    """Every tenant is charged what the generator says, once per unique event, and nothing was parked."""
    parked = list(read_committed(_conf(brokers), topics.DEAD_LETTERS))
    assert not parked, f"{len(parked)} records were parked: {parked[0].headers()}"
    states = {}
    for message in read_committed(_conf(brokers), topics.ACCOUNT_STATE):
        states[message.key().decode()] = outputs.decode_account(message.value())
    charged = {tenant: states[tenant].debited_micros for tenant in events.names}
    wrong = [tenant for tenant in events.names if charged[tenant] != events.charged[tenant]]
    assert not wrong, f"{len(wrong)} tenants are charged wrongly: {wrong[:5]}"
    entries = sum(state.revision for state in states.values())
    assert entries == events.made + len(events.names), "entries are one per unique event and one per funding"


def machine_slug(machine: dict[str, str | int]) -> str:
    """Names a machine by what makes it fast or slow."""
    return re.sub(r"[^a-z0-9]+", "-", f"{machine['cpu']} {machine['cores']} cores".lower()).strip("-")


def append(run: dict) -> Path:
    """Adds the run to the file of its day and machine."""
    path = RESULTS / f"{run['at'][:10]}-{machine_slug(run['machine'])}.json"
    runs = json.loads(path.read_text()) if path.exists() else []
    RESULTS.mkdir(exist_ok=True)
    path.write_text(json.dumps([*runs, run], indent=2) + "\n")
    return path


def last_run(run: dict) -> dict | None:
    """Returns the latest recorded run of the same load on such a machine."""
    runs = [
        earlier
        for path in sorted(RESULTS.glob(f"*-{machine_slug(run['machine'])}.json"))
        for earlier in json.loads(path.read_text())
        if earlier["load"] == run["load"]
    ]
    return runs[-1] if runs else None


def show(run: dict, before: dict | None) -> None:
    """Prints the figures beside those of the run before."""
    machine = run["machine"]
    title = f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, Python {machine['python']}"
    table = Table("case", "figure", title=title)
    table.add_column("now", justify="right")
    table.add_column(f"before ({before['at'][:10]})" if before else "before", justify="right")
    table.add_column("change", justify="right")
    for case, figures in run["cases"].items():
        for name, value in figures.items():
            earlier = before["cases"].get(case, {}).get(name) if before else None
            change = f"{(value - earlier) / earlier:+.1%}" if earlier else ""
            table.add_row(case, name, f"{value:,}", f"{earlier:,}" if earlier is not None else "", change)
        table.add_section()
    Console().print(table)
    if {"throughput", "naive"} <= run["cases"].keys():
        ratio = run["cases"]["throughput"]["events_per_s"] / run["cases"]["naive"]["events_per_s"]
        click.echo(f"The meter does {ratio:.0f} times as many events per second as the plain Faust agent.")


if __name__ == "__main__":
    main()
