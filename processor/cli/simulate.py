"""`credits simulate`: a telephony platform that sends realistic usage."""

from __future__ import annotations

import signal
import sys
import time
import uuid
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Final

import click

from processor.cli.common import CommandFailed, brokers_option, client_conf, json_option, make_settings
from processor.cli.money import AMOUNT
from processor.contracts import topics

if TYPE_CHECKING:
    from processor.domain.tariff import Row
    from processor.settings import Settings
    from processor.simulator.emit import Counts, Emitter

REPORT_S: Final = 10.0


@click.command()
@brokers_option
@click.option(
    "--tenants", type=click.IntRange(1, 1_000_000), default=2000, show_default=True, help="How many there are."
)
@click.option(
    "--rate",
    type=click.FloatRange(0, 1_000_000),
    default=1000,
    show_default=True,
    help="Events per second; 0 is as fast as one core can (about 30,000).",
)
@click.option(
    "--skew", is_flag=True, help="Some are large: the first tenant has 35 % of the usage, the first ten 90 %."
)
@click.option(
    "--duplicates",
    type=click.FloatRange(0, 0.89),
    default=0.01,
    show_default=True,
    help="Share of exact repetitions of recent events, as a platform sends after a lost answer.",
)
@click.option("--events", type=click.IntRange(min=1), help="End after this many.")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="End after this time.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed makes up the same usage.")
@click.option(
    "--run", help="Part of every event's source. The same seed and run again are repetitions.  [default: random]"
)
@click.option(
    "--rates",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="A rate deck to draw destinations from; may be repeated.  [env: CREDITS_RATES; default: the package's deck]",
)
@click.option("--open", "opens", is_flag=True, help="First fund every account with the payment and set its auto-pay.")
@click.option("--payment", type=AMOUNT, default="50", show_default=True, help="With --open: the payment amount.")
@click.option("--trigger", type=AMOUNT, default="20", show_default=True, help="With --open: when the balance falls to.")
@click.option(
    "--max-per-day", type=click.IntRange(1, 1_000_000), default=10_000, show_default=True, help="With --open: payments."
)
@click.option(
    "--max-units", type=click.IntRange(1, 1_000_000), help="With --open: payment amounts per payment at most."
)
@json_option
def simulate(
    brokers: str | None,
    tenants: int,
    rate: float,
    skew: bool,
    duplicates: float,
    events: int | None,
    seconds: float | None,
    seed: int,
    run: str | None,
    rates: tuple[Path, ...],
    opens: bool,
    payment: int,
    trigger: int,
    max_per_day: int,
    max_units: int | None,
    as_json: bool,
) -> None:
    """Send usage like a telephony platform: calls, conference legs, some of them twice.

    Writes usage.call.v1 and usage.conference.v1 until Ctrl-C, --events or --seconds. Every number can be priced by
    the decks; most calls go to popular countries, durations are log-normal. At the end it says how many different
    events the brokers have acknowledged: the ledger must show exactly as many charges. Exit code 1 when some were
    not acknowledged.

    \b
    Examples:
      credits simulate --open --tenants 200 --rate 500 --skew
      credits simulate --rate 0 --events 1000000 --json
    """
    from processor.cli.reading import partitions_of
    from processor.simulator.accounts import Opening, openings
    from processor.simulator.emit import Counts, Emitter
    from processor.simulator.usage import Plan, usage

    settings = make_settings(brokers=brokers, rates=list(rates) or None)
    plan = Plan(
        run=run or uuid.uuid4().hex[:12],
        tenants=tenants,
        skew=skew,
        duplicates=duplicates,
        seed=seed,
        currency=settings.default_currency,
    )
    rows = _rows(settings)
    # A platform's user may not even see the topic of account commands.
    for topic in (topics.USAGE_CALL, topics.USAGE_CONFERENCE, *([topics.ACCOUNT_COMMANDS] if opens else [])):
        partitions_of(client_conf(settings), topic)  # complains when it does not exist
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    emitter = Emitter(client_conf(settings))
    if opens:
        opening = Opening(
            funds_micros=payment,
            payment_micros=payment,
            trigger_micros=trigger,
            max_per_day=max_per_day,
            max_units=max_units,
        )
        emitter.run(openings(plan, opening), stop)
        _complain(emitter.counts)
        click.echo(f"{tenants:,} accounts opened.", err=True)
        emitter.counts = Counts()
    Thread(target=_progress, args=(emitter, stop), daemon=True).start()
    started = time.monotonic()
    try:
        counts = emitter.run(usage(plan, rows), stop, rate=rate, limit=events, seconds=seconds)
    except ValueError as error:
        raise CommandFailed(str(error)) from None
    _print(counts, plan.run, time.monotonic() - started, as_json)
    _complain(counts)


def _rows(settings: Settings) -> list[Row]:
    from processor.contracts.decks import DeckError, load_decks

    try:
        return [row for deck in load_decks(settings.rates, settings.default_currency) for row in deck.rows]
    except (DeckError, OSError) as error:
        raise CommandFailed(f"the deck cannot be used: {error}") from None


def _progress(emitter: Emitter, stop: Event) -> None:
    """Tells a person every ten seconds that something happens."""
    before = 0
    while not stop.wait(REPORT_S):
        done = emitter.counts.acknowledged
        click.echo(f"{done:,} events acknowledged, {(done - before) / REPORT_S:,.0f}/s", err=True)
        before = done


def _print(counts: Counts, run: str, took_s: float, as_json: bool) -> None:
    if as_json:
        import msgspec

        summary = {**msgspec.to_builtins(counts), "run": run, "seconds": round(took_s, 3)}
        click.echo(msgspec.json.encode(summary))
        return
    per_second = counts.acknowledged / max(took_s, 0.001)
    click.echo(
        f"{counts.unique:,} events and {counts.duplicates:,} repetitions of them acknowledged in {took_s:.1f} s"
        f" ({per_second:,.0f}/s), run {run}"
    )


def _complain(counts: Counts) -> None:
    if counts.failed:
        click.echo(f"Error: {counts.failed:,} records were not acknowledged: {counts.last_error}", err=True)
        sys.exit(1)
