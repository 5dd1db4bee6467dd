"""Findings in rate decks and differences between them, as tables for people."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from processor.domain.money import show

if TYPE_CHECKING:
    from processor.domain.deck_diff import Change
    from processor.domain.deck_lint import Finding
    from processor.domain.tariff import Row

COLOURS: Final = {"error": "red", "warning": "yellow", "note": "dim"}
_KINDS: Final = {"added": "green", "removed": "red", "changed": "yellow"}
_PIPE_WIDTH: Final = 1000
"""Columns where nobody looks: a line per row, for grep."""


def print_findings(findings: Sequence[Finding]) -> None:
    """Prints what the linter found, and how much of it."""
    if not findings:
        click.echo("No findings.")
        return
    table = _table("severity", "kind", "where", "explanation")
    for each in findings:
        where = f"{each.deck}:{each.line}" if each.line else each.prefix or ""
        table.add_row(Text(each.severity, COLOURS[each.severity]), each.kind, where, Text(each.explanation))
    _print(table)
    click.echo(", ".join(f"{sum(each.severity == severity for each in findings)} {severity}s" for severity in COLOURS))


def print_changes(changes: Sequence[Change]) -> None:
    """Prints how two decks differ, and how many rows do."""
    if not changes:
        click.echo("No differences.")
        return
    table = _table("prefix", "change", "destination", "was", "now", "percent")
    for each in changes:
        row = each.now if each.kind == "added" else each.was
        percent = "" if each.percent is None else f"{each.percent:+}"
        table.add_row(
            each.prefix,
            Text(each.kind, _KINDS[each.kind]),
            Text(row.destination if row else ""),
            Text(_terms(each.was, each)),
            Text(_terms(each.now, each)),
            percent,
        )
    _print(table)
    counts = [f"{sum(each.kind == kind for each in changes):,} {kind}" for kind in _KINDS]
    rises = [each.percent for each in changes if each.percent]
    up, down = sum(rise > 0 for rise in rises), sum(rise < 0 for rise in rises)
    click.echo(f"{', '.join(counts)}; {up:,} rates up, {down:,} down")


def _terms(row: Row | None, change: Change) -> str:
    """Says what a row asks for: its rate, and whatever else is different about it."""
    if row is None:
        return "no price"
    words = [show(row.rate_micros_per_min, row.currency) if row.allowed else "not allowed"]
    if row.prefix != change.prefix:
        words.append(f"by {row.prefix} {row.destination}")
    if row.direction == "inbound":
        words.append("inbound")
    different = set(change.fields)
    if "connect_fee_micros" in different:
        words.append(f"{show(row.connect_fee_micros, row.currency)} to connect")
    if different & {"initial_s", "increment_s"}:
        words.append(f"{row.initial_s}/{row.increment_s}")
    words += [getattr(row, name) for name in ("destination", "type", "country") if name in different]
    if row.effective_from is not None:
        words.append(f"since {row.effective_from:%Y-%m-%d %H:%M}")
    if row.effective_to is not None:
        words.append(f"until {row.effective_to:%Y-%m-%d %H:%M}")
    return ", ".join(words)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(
            column,
            no_wrap=column not in ("explanation", "destination", "was", "now"),
            overflow="fold",
            justify="right" if column == "percent" else "left",
        )
    return table


def _print(table: Table) -> None:
    Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(table)
