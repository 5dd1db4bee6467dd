"""`credits pull`: call records from a vendor's API into the usage topics, from where the last pull ended."""

from __future__ import annotations

import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Final

import click

from processor.cli.common import CommandFailed, brokers_option, client_conf, json_option, make_settings
from processor.cli.convert import make_options, open_rejects, rejection

if TYPE_CHECKING:
    from processor.adapters.graph_api import Access, Log
    from processor.settings import Settings

LONGEST_OVERLAP_H: Final = 34 * 24
"""One day less than event ids are remembered by default."""


@click.group("pull")
def pull_group() -> None:
    """Call records from a vendor's API, again and again."""


@pull_group.command("graph", short_help="Microsoft Teams' call logs, from Microsoft Graph.")
@click.option("--tenant", required=True, metavar="TENANT", help="Whose usage it is.")
@click.option(
    "--log",
    "logs",
    type=click.Choice(["pstn", "direct-routing"]),
    multiple=True,
    default=["pstn"],
    show_default=True,
    help="Which calls; may be repeated. Direct routing is free here and pulled for the record.",
)
@click.option(
    "--checkpoint",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The file that remembers how far it came; one per tenant.",
)
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"]),
    help="Where to begin without a checkpoint, in UTC.  [default: the overlap ago]",
)
@click.option(
    "--overlap-hours",
    type=click.IntRange(0, LONGEST_OVERLAP_H),
    default=24,
    show_default=True,
    help="Begin so long before the checkpoint: rows appear late. What comes twice is debited once.",
)
@click.option("--every", type=click.IntRange(min=1), metavar="SECONDS", help="Pull again and again, until Ctrl-C.")
@click.option("--region", default="US", show_default=True, help="Completes numbers in national form; ISO 3166-1.")
@click.option(
    "--unlicensed", is_flag=True, help="Payers lack the credits licence, unless the row says that credits paid."
)
@click.option(
    "--rejects",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Add rejected rows to this file, each once, one JSON object per line.",
)
@brokers_option
@json_option
def graph(
    tenant: str,
    logs: tuple[Log, ...],
    checkpoint: Path,
    since: datetime | None,
    overlap_hours: int,
    every: int | None,
    region: str,
    unlicensed: bool,
    rejects: Path | None,
    brokers: str | None,
    as_json: bool,
) -> None:
    """Pull Microsoft Teams' call logs from Microsoft Graph into the usage topics.

    Reads getPstnCalls (and getDirectRoutingCalls) a day at a time and notes a day in the checkpoint when the brokers
    have all of it: killed at any time, it goes on where it was. Needs an application with the permission
    CallRecord-PstnCalls.Read.All: CREDITS_GRAPH_TENANT_ID, CREDITS_GRAPH_CLIENT_ID and
    CREDITS_GRAPH_CLIENT_SECRET_FILE. Exit code 1 when rows were rejected or the API refused.

    \b
    Examples:
      credits pull graph --tenant contoso --checkpoint contoso.json
      credits pull graph --tenant contoso --checkpoint contoso.json \\
        --every 900 --rejects contoso-rejected.ndjson
    """
    from processor.adapters.graph_api import GraphApi, GraphError, Stopped
    from processor.cli.conversion import Tally
    from processor.cli.graph_puller import Puller
    from processor.cli.publishing import Publisher
    from processor.cli.rejects import NewRejects

    settings = make_settings(brokers=brokers)
    options = make_options(tenant, region, "UTC", (), unlicensed)
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    api = GraphApi(_access(settings), stop.wait)
    publisher = Publisher(client_conf(settings), tenant)
    puller = Puller(api, publisher, options, checkpoint, stop)
    begin = since.replace(tzinfo=UTC) if since is not None else None
    rejected = 0
    with open_rejects(rejects, mode="a+") as file:
        kept = NewRejects(file) if file is not None else None
        while not stop.is_set():
            before, tally = publisher.acknowledged, Tally(kept)
            try:
                for log in logs:
                    puller.pull(log, datetime.now(UTC), timedelta(hours=overlap_hours), begin, tally)
            except GraphError as error:
                raise CommandFailed(str(error)) from None
            except Stopped:
                break
            tally.report(as_json=as_json, published=publisher.acknowledged - before)
            rejected += tally.rejected_rows
            if every is None or stop.wait(every):
                break
    if rejected:
        raise CommandFailed(rejection(rejected, rejects))


def _access(settings: Settings) -> Access:
    """Reads who asks out of the settings; exit code 2 with the name of the setting that is missing."""
    from processor.adapters.graph_api import Access

    file = settings.graph_client_secret_file
    needed = {
        "CREDITS_GRAPH_TENANT_ID": settings.graph_tenant_id,
        "CREDITS_GRAPH_CLIENT_ID": settings.graph_client_id,
        "CREDITS_GRAPH_CLIENT_SECRET_FILE": file,
    }
    missing = [name for name, value in needed.items() if not value]
    if missing or file is None:
        raise click.UsageError(f"the application at Microsoft is not named: set {', '.join(missing)}")
    try:
        secret = file.read_text("utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise click.UsageError(f"CREDITS_GRAPH_CLIENT_SECRET_FILE {file} cannot be read: {error}") from None
    try:
        return Access(
            directory_id=settings.graph_tenant_id,
            client_id=settings.graph_client_id,
            client_secret=secret,
            graph_url=settings.graph_url,
            login_url=settings.graph_login_url,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None
