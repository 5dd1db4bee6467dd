"""`credits convert`: call records of a vendor to usage events."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, Literal, TextIO
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from processor.cli.common import CommandFailed, brokers_option, client_conf, json_option, make_settings

if TYPE_CHECKING:
    from processor.adapters import Options, Outcome, Vendor

REPORT_ROWS: Final = 1000
"""The progress bar moves once in so many rows: seldom enough to cost nothing."""


@click.command()
@click.argument("vendor", type=click.Choice(["graph", "freeswitch", "asterisk", "twilio"]))
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option("--tenant", required=True, metavar="TENANT", help="Whose usage it is.")
@click.option("--region", default="US", show_default=True, help="Completes numbers in national form; ISO 3166-1.")
@click.option("--timezone", default="UTC", show_default=True, help="Of times without a zone, as Asterisk writes them.")
@click.option(
    "--own",
    multiple=True,
    metavar="PREFIX",
    help="A prefix of the tenant's own numbers, as in +1425; may be repeated. Tells a PBX's calls in from calls out.",
)
@click.option(
    "--unlicensed", is_flag=True, help="Payers lack the credits licence, unless the record says that credits paid."
)
@click.option(
    "--rejects",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Keep rejected rows here, one JSON object per line.",
)
@click.option("--publish", is_flag=True, help="Write to the usage topics instead of standard output.")
@brokers_option
@json_option
def convert(
    vendor: Vendor,
    file: str,
    tenant: str,
    region: str,
    timezone: str,
    own: tuple[str, ...],
    unlicensed: bool,
    rejects: Path | None,
    publish: bool,
    brokers: str | None,
    as_json: bool,
) -> None:
    """Convert a vendor's call records to usage events.

    FILE is what Microsoft Graph or Twilio answer (pages, lists, arrays or one row per line), what mod_json_cdr of
    FreeSWITCH writes, or Master.csv of Asterisk; - is standard input. Events go to standard output, one CloudEvent
    per line, the summary to standard error. The same rows give the same events: converted or published twice, they
    are debited once. Exit code 1 when rows were rejected.

    \b
    Examples:
      credits convert graph calls.json --tenant contoso > events.ndjson
      credits convert asterisk Master.csv --tenant contoso \\
        --timezone Europe/Berlin --region DE --rejects bad.ndjson --publish
    """
    from processor.adapters import Converted
    from processor.adapters import convert as convert_file
    from processor.cli.conversion import Tally
    from processor.cli.publishing import Publisher
    from processor.cli.rejects import Rejects

    options = make_options(tenant, region, timezone, own, unlicensed)
    with click.open_file(file, "rb") as stream, open_rejects(rejects, Path(file)) as kept:
        publisher = Publisher(client_conf(make_settings(brokers=brokers)), tenant) if publish else None
        out = click.get_binary_stream("stdout")
        tally = Tally(Rejects(kept) if kept is not None else None)
        # Where events scroll through the terminal, they show the progress themselves.
        shown = publish or not sys.stdout.isatty()
        for outcome in _watched(convert_file(vendor, stream, options), stream, shown):
            tally.add(outcome)
            if isinstance(outcome, Converted):
                if publisher is not None:
                    publisher.send(outcome.usage)
                else:
                    out.write(outcome.usage.value + b"\n")
        if publisher is not None:
            publisher.flush()
        out.flush()
    tally.report(as_json=as_json, published=publisher.acknowledged if publisher is not None else None)
    if tally.rejected_rows:
        raise CommandFailed(rejection(tally.rejected_rows, rejects))


def make_options(tenant: str, region: str, timezone: str, own: tuple[str, ...], unlicensed: bool) -> Options:
    """Builds the adapters' options; exit code 2 with the reason when there is something wrong with them."""
    from processor.adapters import Options

    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise click.UsageError(f"--timezone {timezone} is not known here: use a name as in Europe/Berlin") from None
    try:
        return Options(tenant_id=tenant, region=region, zone=zone, own=own, credits_licensed=not unlicensed)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def rejection(rows: int, rejects: Path | None) -> str:
    """Says where to find what could not be converted."""
    where = f"they are in {rejects}" if rejects is not None else "--rejects FILE keeps them"
    return f"rejected rows: {rows:,}; {where}"


@contextmanager
def open_rejects(
    path: Path | None, source: Path | None = None, mode: Literal["w", "a+"] = "w"
) -> Iterator[TextIO | None]:
    """Opens the file for rejected rows, if there is to be one; it must not be the one that is being read."""
    if path is None:
        yield None
        return
    if source is not None and path.exists() and source.exists() and path.samefile(source):
        raise click.UsageError("--rejects is the file that is converted: name another one")
    try:
        file = path.open(mode, encoding="utf-8")
    except OSError as error:
        raise click.UsageError(f"--rejects {path}: {error.strerror}") from None
    with file:
        yield file


def _watched(outcomes: Iterator[Outcome], stream: IO[bytes], shown: bool) -> Iterator[Outcome]:
    """Passes the outcomes on and shows how far they are, when `shown` and when standard error is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    screen = Console(stderr=True)
    columns = (BarColumn(), DownloadColumn(), TextColumn("{task.fields[rows]:,} rows"), TimeRemainingColumn())
    hidden = not (shown and screen.is_terminal)
    with Progress(*columns, console=screen, transient=True, disable=hidden, redirect_stdout=False) as progress:
        size = None
        if stream.seekable():
            size = stream.seek(0, os.SEEK_END)
            stream.seek(0)
        task = progress.add_task("", total=size, rows=0)
        for number, outcome in enumerate(outcomes, 1):
            if number % REPORT_ROWS == 0:
                progress.update(task, rows=number, completed=0 if size is None else stream.tell())
            yield outcome
