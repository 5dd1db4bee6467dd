"""Finds what is wrong or dangerous in rate decks before they price anything.

An error loses money or makes a price a matter of chance; a warning leaves usage without a price or looks unintended;
a note is worth knowing. Decks are judged together, as the tariff uses them, but each currency for itself.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final, Literal

from msgspec import Struct

from processor.domain.money import show
from processor.domain.numbering import COUNTRY_CODES, SATELLITE_CODES, SPECIAL_RANGES, SpecialRange, country_code
from processor.domain.tariff import Deck, Row

Severity = Literal["error", "warning", "note"]
Kind = Literal[
    "duplicate",
    "premium_as_landline",
    "premium_missing",
    "no_root",
    "no_country",
    "no_satellite",
    "no_mobile",
    "no_inbound",
    "time_gap",
    "odd_increment",
    "zero_rate",
    "more_than_4_decimals",
    "currency_mix",
]

SEVERITIES: Final[tuple[Severity, ...]] = ("error", "warning", "note")
_FIRST_LINE: Final = 2
"""Line of the first row: the header comes before, and a deck file has one row per line."""
_MINUTE_S: Final = 60
_EARLIEST: Final = datetime.min.replace(tzinfo=UTC)
_LATEST: Final = datetime.max.replace(tzinfo=UTC)


class Finding(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing to look at; `deck` and `line` are given when it is about one row."""

    severity: Severity
    kind: Kind
    explanation: str
    prefix: str | None = None
    currency: str | None = None
    deck: str | None = None
    line: int | None = None


_Gap = tuple[Severity, Kind, str, str | None]
"""Severity, kind, explanation and prefix of a finding about all rows of a currency together."""


class _Placed(Struct, frozen=True):
    """A row and where it stands."""

    row: Row
    deck: str
    line: int


def lint(decks: Sequence[Deck]) -> list[Finding]:
    """Judges the decks of one tariff; the findings come by severity, then by kind and prefix."""
    placed = [_Placed(row, deck.deck_id, at) for deck in decks for at, row in enumerate(deck.rows, _FIRST_LINE)]
    findings = [*_duplicates(placed), *_time_gaps(placed), *_single_rows(placed), *_currencies(placed)]
    for currency in sorted({each.row.currency for each in placed}):
        for severity, kind, explanation, prefix in _coverage([p.row for p in placed if p.row.currency == currency]):
            findings.append(
                Finding(severity=severity, kind=kind, explanation=explanation, prefix=prefix, currency=currency)
            )
    return sorted(findings, key=lambda f: (SEVERITIES.index(f.severity), f.kind, f.prefix or "", f.line or 0))


def _at(place: _Placed, severity: Severity, kind: Kind, explanation: str) -> Finding:
    return Finding(
        severity=severity,
        kind=kind,
        explanation=explanation,
        prefix=place.row.prefix,
        currency=place.row.currency,
        deck=place.deck,
        line=place.line,
    )


def _duplicates(placed: list[_Placed]) -> Iterator[Finding]:
    """Reports rows that price the same numbers at the same time: the first one always wins.

    A dated row beside an undated one is no duplicate but the exception to it.
    """
    groups: dict[tuple[str, str, str, bool], list[_Placed]] = {}
    for place in placed:
        row = place.row
        dated = row.effective_from is not None or row.effective_to is not None
        groups.setdefault((row.prefix, row.direction, row.currency, dated), []).append(place)
    for group in groups.values():
        for position, later in enumerate(group):
            first = next((each for each in group[:position] if _overlap(each.row, later.row)), None)
            if first is None:
                continue
            where = f"line {first.line}" if first.deck == later.deck else f"line {first.line} of {first.deck}"
            if first.deck == later.deck and _price(first.row) != _price(later.row):
                yield _at(later, "error", "duplicate", f"{where} prices the same numbers differently, and wins")
            else:
                yield _at(later, "warning", "duplicate", f"{where} prices the same numbers already, and wins")


def _time_gaps(placed: list[_Placed]) -> Iterator[Finding]:
    """Reports numbers whose rows leave a time between them without one: then a shorter prefix prices them, or none."""
    groups: dict[tuple[str, str, str], list[_Placed]] = {}
    for place in placed:
        groups.setdefault((place.row.prefix, place.row.direction, place.row.currency), []).append(place)
    for group in groups.values():
        covered = _EARLIEST
        for place in sorted(group, key=lambda each: each.row.effective_from or _EARLIEST):
            begin = place.row.effective_from or _EARLIEST
            if covered not in (_EARLIEST, _LATEST) and begin > covered:
                gap = f"no row is in force from {covered:%Y-%m-%d %H:%M} until {begin:%Y-%m-%d %H:%M} UTC"
                yield _at(place, "warning", "time_gap", gap)
            covered = max(covered, place.row.effective_to or _LATEST)


def _overlap(one: Row, other: Row) -> bool:
    return (one.effective_from or _EARLIEST) < (other.effective_to or _LATEST) and (
        other.effective_from or _EARLIEST
    ) < (one.effective_to or _LATEST)


def _price(row: Row) -> tuple[object, ...]:
    return row.rate_micros_per_min, row.connect_fee_micros, row.initial_s, row.increment_s, row.allowed


def _single_rows(placed: list[_Placed]) -> Iterator[Finding]:
    """Reports what is odd about a row by itself."""
    for place in placed:
        row = place.row
        if not row.allowed:
            continue
        if not row.rate_micros_per_min and not row.connect_fee_micros:
            yield _at(place, "warning", "zero_rate", "the row is allowed and costs nothing")
        if row.rate_micros_per_min % 100:
            rate = show(row.rate_micros_per_min, row.currency)
            yield _at(place, "note", "more_than_4_decimals", f"{rate} loses digits where four decimals are assumed")
        if _MINUTE_S % row.initial_s or _MINUTE_S % row.increment_s or row.increment_s > row.initial_s:
            explanation = f"{row.initial_s}/{row.increment_s} does not add up to minutes like 60/60, 60/1 or 30/6 do"
            yield _at(place, "warning", "odd_increment", explanation)


def _currencies(placed: list[_Placed]) -> Iterator[Finding]:
    """Reports decks that price in several currencies: an account sees only the rows of its own."""
    counts: dict[str, int] = {}
    for place in placed:
        counts[place.row.currency] = counts.get(place.row.currency, 0) + 1
    if len(counts) > 1:
        listed = ", ".join(f"{count} in {currency}" for currency, count in sorted(counts.items()))
        explanation = f"the rows are in several currencies ({listed}); an account sees only those of its own"
        yield Finding(severity="warning", kind="currency_mix", explanation=explanation)


def _coverage(rows: list[Row]) -> Iterator[_Gap]:
    """Reports which numbers the rows of one currency leave without a price, or price as something they are not."""
    outbound: dict[str, list[Row]] = {}
    for row in rows:
        if row.direction == "outbound":
            outbound.setdefault(row.prefix, []).append(row)
    started = {country_code(prefix) for prefix in outbound}
    for code, name in (COUNTRY_CODES | SATELLITE_CODES).items():
        if _matches(outbound, code):
            continue
        if code in started:
            explanation = f"+{code} ({name}) has rows but none for the code itself: the rest has no price"
            yield "warning", "no_root", explanation, code
        elif code in SATELLITE_CODES:
            yield "warning", "no_satellite", f"no row for satellite code +{code} ({name})", code
        else:
            yield "warning", "no_country", f"no row for +{code} ({name})", code
    for special in SPECIAL_RANGES:
        if country_code(special.prefix) in started:
            yield from _special(outbound, special)
    yield from _without_mobile(outbound)
    if all(row.direction == "outbound" for row in rows):
        yield "warning", "no_inbound", "no inbound row: calls to toll-free numbers have no price", None


def _matches(outbound: dict[str, list[Row]], prefix: str) -> list[Row]:
    """Returns the rows of the longest prefix that matches all numbers of `prefix`, if any."""
    for length in range(len(prefix), 0, -1):
        if found := outbound.get(prefix[:length]):
            return found
    return []


def _special(outbound: dict[str, list[Row]], special: SpecialRange) -> Iterator[_Gap]:
    """Reports a dear range that has no row of its own; rows for all ten continuations are as good as one."""
    prefix, name = special.prefix, f"+{special.prefix} ({special.name})"
    if prefix in outbound or all(prefix + digit in outbound for digit in "0123456789"):
        return
    found = _matches(outbound, prefix)
    if not found:
        yield "warning", "premium_missing", f"{name} has no row: state its price, or that it is not allowed", prefix
        return
    row = found[0]
    if row.allowed and row.type != special.type:
        rate = show(row.rate_micros_per_min, row.currency)
        explanation = f"{name} falls through to {row.prefix} {row.destination}, {row.type}, at {rate} per minute"
        yield "error", "premium_as_landline", explanation, prefix


def _without_mobile(outbound: dict[str, list[Row]]) -> Iterator[_Gap]:
    """Names the countries whose mobiles would be priced as landlines."""
    types: dict[str, set[str]] = {}
    landline: dict[str, Row] = {}
    for prefix in sorted(outbound, key=len):
        for row in outbound[prefix]:
            types.setdefault(row.country, set()).add(row.type)
            if row.type == "landline":
                landline.setdefault(row.country, row)
    for country, row in sorted(landline.items()):
        if not types[country] & {"mobile", "mixed"}:
            rate = show(row.rate_micros_per_min, row.currency)
            explanation = f"{country} has no mobile row: its mobiles are priced as landlines, {rate} per minute"
            yield "warning", "no_mobile", explanation, row.prefix
