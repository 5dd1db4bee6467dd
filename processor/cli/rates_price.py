"""One price, explained: for programs as fields, for people as the steps in which it is found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from fractions import Fraction
from typing import TYPE_CHECKING

from processor.cli.money import show_time
from processor.domain.money import MICROS_PER_UNIT, Micros, charge_micros, exponent, show
from processor.domain.tariff import billed_seconds

if TYPE_CHECKING:
    from processor.domain.tariff import Deck, Row

_SHOWN_DECIMALS = 9
"""Decimals of an unrounded amount: three more than money keeps, so that the rounding can be seen."""


def priced(row: Row, seconds: int, started_at: datetime) -> dict[str, object]:
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


def steps(
    row: Row, number: str, seconds: int, started_at: datetime, shorter: Iterable[str]
) -> Iterator[tuple[str, str]]:
    """Yields the steps to a price with their names; `shorter` are the shorter prefixes that match as well."""
    currency, rate = row.currency, row.rate_micros_per_min
    billed, fee, charge = _charge(row, seconds)
    over = f" (longer than {', '.join(shorter)})" if shorter else ""
    deck, _, version = row.deck.partition("@")
    yield "number", f"{number}, {row.direction}, started {show_time(started_at)}"
    yield "prefix", f"{row.prefix}, the longest that matches{over}"
    yield "row", f"{row.destination} ({row.type}, {row.country}), {_in_force(row)}"
    yield "deck", f"{deck}, version {version}"
    if not row.allowed:
        yield "charge", f"{show(0, currency)}: the destination is not allowed, the leg is refused"
        return
    connect = f", {show(row.connect_fee_micros, currency)} to connect" if row.connect_fee_micros else ""
    yield "rate", f"{show(rate, currency)} per minute{connect}"
    yield "billed", f"{seconds} s in increments {row.initial_s}/{row.increment_s}: {_intervals(row, seconds)} s"
    exact = fee + Fraction(billed * rate, 60)
    sums = f"{_plain(fee, currency)} + {billed} s x {_plain(rate, currency)} / 60 = {_unrounded(exact, currency)}"
    yield "formula", sums
    yield "rounding", f"half up to the micro, once per leg: {_plain(charge, currency)}"
    yield "charge", show(charge, currency)


def shorter_prefixes(decks: Iterable[Deck], number: str, found: Row) -> list[str]:
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


def _charge(row: Row, seconds: int) -> tuple[int, Micros, Micros]:
    """Prices a leg; returns the billed seconds, the connect fee that is due, and the charge."""
    billed = billed_seconds(seconds, row)
    fee = row.connect_fee_micros if billed else 0
    return billed, fee, charge_micros(billed, row.rate_micros_per_min, fee) if row.allowed else 0


def _in_force(row: Row) -> str:
    words = [
        f"{word} {at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        for word, at in (("since", row.effective_from), ("until", row.effective_to))
        if at is not None
    ]
    return f"in force {' '.join(words)}" if words else "always in force"


def _intervals(row: Row, seconds: int) -> str:
    """Writes billed seconds as the first interval and the whole further ones."""
    billed = billed_seconds(seconds, row)
    if billed <= row.initial_s:
        return str(billed)
    return f"{row.initial_s} + {(billed - row.initial_s) // row.increment_s} x {row.increment_s} = {billed}"


def _plain(micros: Micros, currency: str) -> str:
    return show(micros, currency, code=False)


def _unrounded(micros: Fraction, currency: str) -> str:
    """Writes an exact amount, with an ellipsis where its decimals go on."""
    scale = 10**_SHOWN_DECIMALS
    whole, rest = divmod(micros * scale / MICROS_PER_UNIT, 1)
    digits = f"{whole % scale:0{_SHOWN_DECIMALS}}"
    if rest:
        return f"{whole // scale:,}.{digits}…"
    kept = digits.rstrip("0").ljust(exponent(currency), "0")
    return f"{whole // scale:,}.{kept}" if kept else f"{whole // scale:,}"
