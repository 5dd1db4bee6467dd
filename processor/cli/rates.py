"""`credits rates`: turn a vendor's card into a deck, check and compare decks, explain one price."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import click

from processor.cli.common import CommandFailed, json_option, make_settings

if TYPE_CHECKING:
    from processor.contracts.decks import DeckError
    from processor.domain.errors import Reason
    from processor.domain.policy import Policy
    from processor.domain.tariff import Deck
    from processor.domain.usage import Direction

_DECK: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
_CODE: Final = re.compile(r"[A-Z]{3}")
_INCREMENT: Final = re.compile(r"([1-9][0-9]{0,3})/([1-9][0-9]{0,3})")


@click.group("rates")
def rates_group() -> None:
    """Import, check and compare rate decks, explain a price."""


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
    # A worker may be watching the file: it must never see half of it.
    half = output.with_name(f".{output.name}.part")
    half.write_text(text, encoding="utf-8", newline="")
    half.replace(output)
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
        from processor.cli.rates_tables import print_findings

        print_findings(findings)
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
@click.option("--currency", help="Currency of the account.  [default: CREDITS_DEFAULT_CURRENCY]")
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

    Shows the row, its deck, the billed time, the formula, the rounding and the charge. NUMBER is E.164 with its plus
    sign. Without --rates the decks are those the worker would use. Exits with 1 when no row prices the number.

    \b
    Example:
      credits rates price +447911123456 --seconds 65 --increment 60/60
    """
    import msgspec

    from processor.cli import rates_price
    from processor.domain.coverage import allowed
    from processor.domain.errors import InputRejected
    from processor.domain.tariff import Tariff

    settings = make_settings(rates=list(rates) or None)
    decks = _decks(settings.rates, settings.default_currency)
    started_at = _time(at) if at else datetime.now(UTC)
    way = cast("Direction", direction)
    try:
        row = Tariff(decks).find(number, way, _currency(currency) or settings.default_currency, started_at)
    except InputRejected as rejected:
        if rejected.reason == "number_invalid":
            raise click.BadParameter("not E.164: a plus sign and 2 to 15 digits", param_hint="NUMBER") from None
        raise CommandFailed(f"{rejected}{_unpriced(rejected.reason, settings.policy)}") from None
    row = msgspec.structs.replace(row, allowed=allowed(number, row))
    if increment:
        row = msgspec.structs.replace(row, **_increments(increment))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(rates_price.priced(row, seconds, started_at))))
    else:
        shorter = rates_price.shorter_prefixes(decks, number, row)
        for name, step in rates_price.steps(row, number, seconds, started_at, shorter):
            click.echo(f"{name:<9} {step}")


@rates_group.command("diff")
@click.argument("old", type=_DECK)
@click.argument("new", type=_DECK)
@json_option
def compare(old: Path, new: Path, as_json: bool) -> None:
    """Show what a new deck changes.

    Rows that were added, removed or changed, with the price of their numbers before and after, and by how many percent
    the rate rises. A row that is gone may leave its numbers to a shorter prefix, a new one take them from it: then
    the price shown is that prefix's. Exits with 1 when the decks differ.

    \b
    Example:
      credits rates diff carrier-2026-06.csv carrier-2026-07.csv
    """
    from processor.domain.deck_diff import diff

    before, after = _decks((old, new), make_settings().default_currency)
    changes = diff(before, after)
    if as_json:
        import msgspec

        listed = [{**msgspec.structs.asdict(each), "percent": each.percent} for each in changes]
        click.echo(msgspec.json.format(msgspec.json.Encoder(decimal_format="number").encode(listed)))
    else:
        from processor.cli.rates_tables import print_changes

        print_changes(changes)
    if changes:
        raise click.exceptions.Exit(1)


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


def _unpriced(reason: Reason, policy: Policy) -> str:
    """Says what a worker does with a leg that no row prices."""
    if reason == "no_rate" and policy.unrateable == "free":
        return ": the leg is free, with the reason FREECALL (CREDITS_UNRATEABLE=free)"
    return ": the leg is parked in dead.letters.v1" + (" (CREDITS_UNRATEABLE=park)" if reason == "no_rate" else "")


def _increments(text: str) -> dict[str, int]:
    found = _INCREMENT.fullmatch(text)
    if found is None:
        raise click.BadParameter("write it as FIRST/NEXT in seconds, such as 60/60 or 30/6", param_hint="--increment")
    return {"initial_s": int(found[1]), "increment_s": int(found[2])}


def _currency(text: str | None) -> str | None:
    if text is not None and _CODE.fullmatch(text) is None:
        raise click.BadParameter("an ISO 4217 code of three capital letters is needed", param_hint="--currency")
    return text


def _time(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise click.BadParameter("not an RFC 3339 time, such as 2026-03-01T12:00:00Z", param_hint="--at") from None
