"""`credits rates`: turn a vendor's card into a deck, check decks, explain one price."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import click

from processor.cli.common import CommandFailed, json_option, make_settings
from processor.domain.money import Micros, charge_micros, show
from processor.domain.tariff import billed_seconds

if TYPE_CHECKING:
    from processor.contracts.decks import DeckError
    from processor.domain.deck_lint import Finding
    from processor.domain.tariff import Deck, Row
    from processor.domain.usage import Direction

_DECK: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
_COLOURS: Final = {"error": "red", "warning": "yellow", "note": "dim"}
_INCREMENT: Final = re.compile(r"([1-9][0-9]{0,3})/([1-9][0-9]{0,3})")


@click.group("rates")
def rates_group() -> None:
    """Import and check rate decks, explain a price."""


@rates_group.command("import")
@click.argument("vendor_csv", type=_DECK)
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The deck file to write."
)
def import_card(vendor_csv: Path, output: Path) -> None:
    """Turn a vendor's published rate card into a deck file.

    The card's columns are Destination Name, Destination Type, Country, Prefix, Price / min. It states no increments
    and no connect fees: add those columns to the deck where your carrier has them, and check it.

    \b
    Example:
      credits rates import pstn-rates.csv -o carrier.csv
      credits rates lint carrier.csv
    """
    from processor.contracts import vendor_card
    from processor.contracts.deck_csv import DeckError

    try:
        text = vendor_card.import_card(vendor_csv)
    except DeckError as error:
        raise _unusable([error]) from error
    output.write_text(text, encoding="utf-8", newline="")
    click.echo(f"{output}: {text.count(chr(10)) - 1:,} rows. Check them: credits rates lint {output}")


@rates_group.command()
@click.argument("deck", type=_DECK, nargs=-1)
@json_option
def lint(deck: tuple[Path, ...], as_json: bool) -> None:
    """Look for mistakes and traps in rate decks.

    Exits with 1 when there is an error among the findings. Without DECK it checks those the worker would use:
    CREDITS_RATES, or the deck of the package. Several decks are judged together, as one tariff.

    \b
    Example:
      credits rates lint carrier.csv premium.csv
    """
    from processor.domain import deck_lint

    settings = make_settings()
    findings = deck_lint.lint(_decks(deck or settings.rates, settings.default_currency))
    if as_json:
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(findings)))
    else:
        _print_findings(findings)
    if any(finding.severity == "error" for finding in findings):
        raise click.exceptions.Exit(1)


@rates_group.command()
@click.argument("number")
@click.option("--seconds", type=click.IntRange(0, 10_000_000), required=True, help="Connected time.")
@click.option("--increment", metavar="FIRST/NEXT", help="Billing increments instead of the row's, such as 60/60.")
@click.option(
    "--direction",
    type=click.Choice(("outbound", "inbound")),
    default="outbound",
    show_default=True,
    help="Inbound prices the called service number.",
)
@click.option("--at", metavar="TIME", help="Start of the leg, RFC 3339.  [default: now]")
@click.option(
    "--rates", type=_DECK, multiple=True, metavar="FILE", help="Rate deck, may be repeated.  [env: CREDITS_RATES]"
)
@click.option("--currency", help="Currency of the account.  [env: CREDITS_DEFAULT_CURRENCY; default: USD]")
@json_option
def price(
    number: str,
    seconds: int,
    increment: str | None,
    direction: str,
    at: str | None,
    rates: tuple[Path, ...],
    currency: str | None,
    as_json: bool,
) -> None:
    """Explain one price step by step.

    Shows the row, the billed time, the formula and the charge. NUMBER is E.164 with its plus sign. Without --rates
    the decks are those the worker would use.

    \b
    Example:
      credits rates price +447911123456 --seconds 65 --increment 60/60
    """
    import msgspec

    from processor.domain.errors import InputRejected
    from processor.domain.tariff import Tariff

    settings = make_settings(rates=list(rates) or None, default_currency=currency)
    decks = _decks(settings.rates, settings.default_currency)
    started_at = _time(at) if at else datetime.now(UTC)
    way = cast("Direction", direction)
    try:
        row = Tariff(decks, settings.policy).find(number, way, settings.default_currency, started_at)
    except InputRejected as rejected:
        if rejected.reason == "number_invalid":
            raise click.BadParameter("not E.164: a plus sign and 2 to 15 digits", param_hint="NUMBER") from None
        raise CommandFailed(str(rejected)) from None
    if increment:
        row = msgspec.structs.replace(row, **_increments(increment))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(_priced(row, seconds, started_at))))
    else:
        _explain(row, number, seconds, started_at, _shorter(decks, number, row))


def _charge(row: Row, seconds: int) -> tuple[int, Micros, Micros]:
    """Prices a leg; returns the billed seconds, the connect fee that is due, and the charge."""
    billed = billed_seconds(seconds, row)
    fee = row.connect_fee_micros if billed else 0
    return billed, fee, charge_micros(billed, row.rate_micros_per_min, fee) if row.allowed else 0


def _priced(row: Row, seconds: int, started_at: datetime) -> dict[str, object]:
    """Says everything about a price for programs; amounts in micros."""
    billed, fee, charge = _charge(row, seconds)
    return {
        "direction": row.direction,
        "started_at": started_at,
        "prefix": row.prefix,
        "destination": row.destination,
        "type": row.type,
        "country": row.country,
        "deck": row.deck,
        "allowed": row.allowed,
        "seconds": seconds,
        "initial_s": row.initial_s,
        "increment_s": row.increment_s,
        "billed_seconds": billed,
        "rate_micros_per_min": row.rate_micros_per_min,
        "connect_fee_micros": fee,
        "charge_micros": charge,
        "currency": row.currency,
    }


def _explain(row: Row, number: str, seconds: int, started_at: datetime, shorter: list[str]) -> None:
    """Says everything about a price for a person, in the order in which it is found."""
    billed, fee, charge = _charge(row, seconds)
    rate = row.rate_micros_per_min
    exact = Decimal(billed * rate) / 60
    over = f" (longer than {', '.join(shorter)})" if shorter else ""
    until = f", until {row.effective_to.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if row.effective_to else ""
    since = f"since {row.effective_from.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if row.effective_from else "always"
    steps = [
        ("number", f"{number}, {row.direction}, started {started_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("prefix", f"{row.prefix}, the longest that matches{over}"),
        ("row", f"{row.destination} ({row.type}, {row.country}) of deck {row.deck}, effective {since}{until}"),
    ]
    if row.allowed:
        tail = f", {show(fee, row.currency)} to connect" if fee else ""
        steps += [
            ("rate", f"{show(rate, row.currency)} per minute{tail}"),
            ("billed", f"{seconds} s in increments {row.initial_s}/{row.increment_s} = {billed} s"),
            ("formula", f"{show(fee)} + {billed} s x {show(rate)} / 60 = {_plain(exact + fee)}"),
            ("rounding", "half up to the micro, once per leg"),
            ("charge", show(charge, row.currency)),
        ]
    else:
        steps.append(("charge", f"{show(0, row.currency)}: the destination is not allowed, the leg is refused"))
    for name, step in steps:
        click.echo(f"{name:<9} {step}")


def _plain(exact_micros: Decimal) -> str:
    """Writes an unrounded amount with up to nine decimals: three more than money keeps."""
    text = format((exact_micros / 1_000_000).quantize(Decimal("1e-9")), "f").rstrip("0")
    return text + "0" * max(0, 2 - len(text.partition(".")[2]))


def _shorter(decks: Iterable[Deck], number: str, found: Row) -> list[str]:
    """Lists the shorter prefixes of the same direction and currency that also match."""
    return sorted(
        {
            row.prefix
            for deck in decks
            for row in deck.rows
            if row.direction == found.direction
            and row.currency == found.currency
            and len(row.prefix) < len(found.prefix)
            and number[1:].startswith(row.prefix)
        }
    )


def _decks(paths: Sequence[Path], currency: str) -> tuple[Deck, ...]:
    """Loads the decks; reports the mistakes of all of them before it gives up."""
    from processor.contracts import decks

    loaded, errors = [], []
    for path in paths:
        try:
            loaded.append(decks.load(path, currency))
        except decks.DeckError as error:
            errors.append(error)
        except OSError as error:
            raise click.UsageError(f"{path} cannot be read: {error.strerror}") from error
    if errors:
        raise _unusable(errors)
    return tuple(loaded) or decks.load_decks((), currency)


def _unusable(errors: list[DeckError]) -> CommandFailed:
    lines = [
        f"  {error.name}, line {line}: {problem}" if line else f"  {error.name}: {problem}"
        for error in errors
        for line, problem in error.problems
    ]
    return CommandFailed("\n".join(["the deck cannot be used", *lines]))


def _print_findings(findings: Sequence[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not findings:
        click.echo("No findings.")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("severity", "kind", "where", "explanation"):
        table.add_column(column, no_wrap=column != "explanation", overflow="fold")
    for each in findings:
        where = f"{each.deck}:{each.line}" if each.line else each.prefix or ""
        severity = Text(each.severity, style=_COLOURS[each.severity])
        table.add_row(severity, each.kind, where, Text(each.explanation))
    Console(soft_wrap=False).print(table)
    counts = [f"{sum(each.severity == severity for each in findings)} {severity}s" for severity in _COLOURS]
    click.echo(", ".join(counts))


def _increments(text: str) -> dict[str, int]:
    found = _INCREMENT.fullmatch(text)
    if found is None:
        raise click.BadParameter("write it as FIRST/NEXT in seconds, such as 60/60 or 30/6", param_hint="--increment")
    return {"initial_s": int(found[1]), "increment_s": int(found[2])}


def _time(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise click.BadParameter("not an RFC 3339 time, such as 2026-03-01T12:00:00Z", param_hint="--at") from None
