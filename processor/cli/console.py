"""`credits console`: the administrator's page and the HTTP API, and who may use them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from processor.cli.common import (
    CommandFailed,
    StoppedItself,
    brokers_option,
    client_conf,
    make_settings,
    unreachable,
)

if TYPE_CHECKING:
    from processor.console.access import Access
    from processor.console.oidc import Provider
    from processor.settings import Settings

INSTALL = 'the console needs an extra: pip install "communication-credits[console]"'

_database = click.option(
    "--database",
    metavar="URL",
    help="PostgreSQL or SQLite, as SQLAlchemy writes it.  [env: CREDITS_CONSOLE_DATABASE; default: SQLite files]",
)
_data_dir = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Holds the SQLite files.  [env: CREDITS_DATA_DIR]",
)


@click.group("console", invoke_without_command=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=8080, show_default=True, help="Port to listen on.")
@click.option("--public-url", metavar="URL", help="Address that people use, behind a proxy with TLS.")
@brokers_option
@_database
@_data_dir
@click.option("--rebuild", is_flag=True, help="Empty the read model first and fill it again from the topics.")
@click.pass_context
def console(
    context: click.Context,
    host: str,
    port: int,
    public_url: str | None,
    brokers: str | None,
    database: str | None,
    data_dir: Path | None,
    rebuild: bool,
) -> None:
    """The administrator's page and the HTTP API.

    Follows account.state.v1, user.pools.v1, ledger.v1 and notifications.v1 into a database and writes
    account.commands.v1. On this machine alone it prints a link that signs an operator in, once; the next link is
    printed when it is used. For everybody else there are tokens: `credits console token add`.

    \b
    Example:
      credits console --port 8080
    """
    if context.invoked_subcommand is None:
        settings = make_settings(brokers=brokers, data_dir=data_dir, console_database=database)
        _serve(settings, host, port, public_url, rebuild)


@console.group("token", short_help="Make, list and revoke tokens to sign in with.")
def token_group() -> None:
    """Make, list and revoke the tokens that people and machines sign in with."""


@token_group.command("add")
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(["viewer", "billing-admin", "operator"]),
    default="viewer",
    show_default=True,
    help="Reads; also adds funds and sets auto-pay; also adjusts, resets and sets licences.",
)
@click.option("--tenant", "tenants", multiple=True, help="May see this tenant; repeat it for more.")
@click.option("--all-tenants", is_flag=True, help="May see every tenant.")
@click.option("--days", type=click.IntRange(1, 3650), default=90, show_default=True, help="Valid for so long.")
@_database
@_data_dir
def add(
    name: str,
    role: str,
    tenants: tuple[str, ...],
    all_tenants: bool,
    days: int,
    database: str | None,
    data_dir: Path | None,
) -> None:
    """Make a token and print it, once; only its hash is kept.

    A viewer reads, a billing admin also adds funds and sets auto-pay, an operator does everything.

    \b
    Example:
      credits console token add finance --role billing-admin --tenant tenant-00001
    """
    if all_tenants == bool(tenants):
        raise click.UsageError("say which tenants: --tenant once or more, or --all-tenants")
    access = _access(make_settings(data_dir=data_dir, console_database=database))
    from processor.console.access import Principal, Role

    try:
        holder = Principal(name, Role.named(role), None if all_tenants else frozenset(tenants))
        click.echo(access.add_token(holder, days))
    except ValueError as error:
        raise CommandFailed(str(error)) from None


@token_group.command("list")
@_database
@_data_dir
def list_tokens(database: str | None, data_dir: Path | None) -> None:
    """List the tokens by name; the tokens themselves are not known.

    \b
    Example:
      credits console token list
    """
    from datetime import UTC, datetime

    for holder, expires_ms in _access(make_settings(data_dir=data_dir, console_database=database)).tokens():
        tenants = "all tenants" if holder.tenants is None else ", ".join(sorted(holder.tenants))
        until = datetime.fromtimestamp(expires_ms / 1000, UTC)
        click.echo(f"{holder.name}: {holder.role.label}, {tenants}, until {until:%Y-%m-%d}")


@token_group.command("revoke", short_help="End a token, or the sessions of somebody without one.")
@click.argument("name")
@_database
@_data_dir
def revoke(name: str, database: str | None, data_dir: Path | None) -> None:
    """End a token and the sessions that were opened with it, or those of somebody who signed in as NAME otherwise.

    \b
    Example:
      credits console token revoke finance
    """
    if not _access(make_settings(data_dir=data_dir, console_database=database)).revoke_token(name):
        raise CommandFailed(f"there is no token and no session named {name!r}: `credits console token list` shows them")


def _serve(settings: Settings, host: str, port: int, public_url: str | None, rebuild: bool) -> None:
    """Runs the console; every way in which it can end has its exit code."""
    try:
        from processor.console import server
    except ImportError as error:
        raise CommandFailed(INSTALL) from error
    from confluent_kafka import KafkaError, KafkaException

    from processor.console.database import UnusableDatabaseError
    from processor.console.readmodel import AnotherWriterError, StaleReadModelError
    from processor.console.records import UnreadableRecordError
    from processor.contracts.decks import DeckError, load_decks
    from processor.domain.tariff import Tariff
    from processor.observability import logging as log_setup
    from processor.stream.rates import Rates, Unobserved

    log_setup.configure()
    try:
        rates = Rates(
            settings.rates,
            lambda: Tariff(load_decks(settings.rates, settings.default_currency), settings.policy),
            Unobserved(),
            settings.rates_poll_s,
        )
    except (DeckError, FileNotFoundError) as error:
        raise CommandFailed(str(error)) from None
    readmodel_url, access_url = server.database_urls(settings.console_database, settings.data_dir / "console")
    options = server.Options(
        host=host,
        port=port,
        readmodel_url=readmodel_url,
        access_url=access_url,
        retention_days=settings.console_retention_days,
        rebuild=rebuild,
        default_currency=settings.default_currency,
        public_url=public_url,
        trusted_proxies=settings.console_trusted_proxies,
        provider=_provider(settings),
    )
    if not server.is_local(host) and not (public_url or "").startswith("https:"):
        click.echo(
            "Warning: tokens and pages travel unencrypted. Put a proxy with TLS in front: --public-url", err=True
        )
    try:
        server.run(client_conf(settings), options, rates, lambda link: click.echo(f"Console: {link}"))
    except (server.AddressUnusableError, UnusableDatabaseError, StaleReadModelError, AnotherWriterError) as error:
        raise CommandFailed(str(error)) from error
    except UnreadableRecordError as error:
        raise StoppedItself(str(error)) from error
    except KafkaException as error:
        if error.args[0].code() == KafkaError._TRANSPORT:  # noqa: SLF001 - that is its public name
            raise unreachable(client_conf(settings)) from error
        raise StoppedItself(f"the broker refused: {error.args[0].str()}") from error


def _provider(settings: Settings) -> Provider | None:
    from processor.console.oidc import Provider

    if not settings.console_oidc_issuer:
        return None
    return Provider(
        issuer=settings.console_oidc_issuer,
        client_id=settings.console_oidc_client_id,
        client_secret=settings.console_oidc_client_secret.get_secret_value(),
        title=settings.console_oidc_title,
        scopes=settings.console_oidc_scopes,
        name_claim=settings.console_oidc_name_claim,
        role_claim=settings.console_oidc_role_claim,
        roles=settings.console_oidc_roles,
        tenants_claim=settings.console_oidc_tenants_claim,
    )


def _access(settings: Settings) -> Access:
    try:
        from processor.console.access import open_access
        from processor.console.server import database_urls
    except ImportError as error:
        raise CommandFailed(INSTALL) from error
    from processor.console.database import UnusableDatabaseError

    try:
        return open_access(database_urls(settings.console_database, settings.data_dir / "console")[1])
    except UnusableDatabaseError as error:
        raise CommandFailed(str(error)) from error
