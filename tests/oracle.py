"""A second, slow tariff in plain words: fractions and dictionaries, no line shared with the meter.

It reads decks and events as the world sees them (CSV, JSON documents) and says of every leg who pays how much.
"""

import csv
import io
import math
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

_PLACES = (
    "AU AT BE BR BG CA CN HR CZ DK EE FI FR DE GR HK HU IN IE IT JP LU MY MX NL NZ NO PL PT PR RO RU SG SK SI ZA KR ES "
    "SE CH TW TH GB US"
)
ZONE_A = set(_PLACES.split())
SHARED_COST = {"44843", "44844", "44845", "44870", "44871", "44872"}
NORTH_AMERICA = {"US", "CA", "PR"}


@dataclass(frozen=True)
class Price:
    per_minute: Fraction
    fee: Fraction
    first: int
    step: int
    kind: str
    country: str
    allowed: bool
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Verdict:
    """Decision, minutes paid by a pool, seconds billed to credits, and micros."""

    decision: str
    pool_minutes: int = 0
    credit_seconds: int = 0
    micros: int = 0


@dataclass
class Oracle:
    """Judges legs one after the other and keeps the pools of one tenant; licences are (plan, country) -> count."""

    prices: dict[tuple[str, str], list[Price]]
    licences: dict[tuple[str, str], int]
    used: dict[tuple[Any, ...], int] = field(default_factory=lambda: defaultdict(int))

    def judge(self, kind: str, leg: dict[str, Any]) -> Verdict:
        """Says who pays for a leg; `kind` is `call` or `conference`, `leg` the data of its event."""
        seconds = math.ceil(Fraction(leg["connected_ms"], 1000))
        what = leg["call_type"] if kind == "call" else leg["leg_kind"]
        if leg.get("emergency") or what.startswith("dr_"):
            return Verdict("free")
        licensed = leg["credits_licensed"]
        plan = leg.get("capability")
        if kind == "call":
            inbound = what in ("user_in", "ucap_in")
            if inbound and leg["number_type"] != "service_toll_free":
                return Verdict("free")
            pooled = not inbound and plan in ("MCOPSTN1", "MCOPSTN2", "MCOPSTN5", "MCOPSTN6", "MCOPSTN8")
            number = leg["callee"]
        else:
            inbound = what in ("dial_in_toll", "dial_in_toll_free")
            if what == "dial_in_toll" and plan != "MCOMEETACPEA":
                return Verdict("free")
            pooled = not inbound and plan != "MCOMEETACPEA"
            number = leg["bridge_number"] if inbound else leg["remote_number"]
        if not pooled and not licensed:
            return Verdict("refused")
        began = datetime.fromisoformat(leg["answered_at" if kind == "call" else "joined_at"])
        price = self._price("inbound" if inbound else "outbound", number, began)
        if not price.allowed or (not inbound and number.startswith("+449")):
            return Verdict("refused")
        minutes = math.ceil(Fraction(seconds, 60))
        left, counters = self._pool(kind, leg, plan, number, price, began) if pooled else (0, ())
        taken = min(left, minutes)
        for counter in counters[:1]:
            self.used[counter] += taken
        rest = seconds - 60 * taken
        if left and rest <= 0:
            return Verdict("pool", taken)
        if not licensed:
            return Verdict("split" if taken else "refused", taken)
        billed = bill(rest, price)
        owed = price.per_minute * billed / 60 + (price.fee if billed else 0)
        return Verdict("split" if taken else "credits", taken, billed, math.floor(owed * 1_000_000 + Fraction(1, 2)))

    def _price(self, direction: str, number: str, began: datetime) -> Price:
        """The longest prefix that has a price at the time; one with dates goes before one without."""
        for end in range(len(number), 1, -1):
            known = self.prices.get((direction, number[1:end]), [])
            valid = [p for p in known if (p.since is None or p.since <= began) and (p.until is None or began < p.until)]
            dated = [p for p in valid if p.since is not None or p.until is not None]
            if valid:
                return (dated or valid)[0]
        raise LookupError(number)

    def _pool(
        self, kind: str, leg: dict[str, Any], plan: str | None, number: str, price: Price, began: datetime
    ) -> tuple[int, tuple[tuple[Any, ...], ...]]:
        """Minutes left, and the counter to count them in."""
        month = began.astimezone(UTC).strftime("%m.%Y")
        if any(number[1:].startswith(prefix) for prefix in SHARED_COST) or price.kind in ("premium", "satellite"):
            return 0, ()
        if kind == "conference":
            if price.country not in ZONE_A:
                return 0, ()
            bought = 60 * sum(count for (sku, _), count in self.licences.items() if sku == "MCOMEETADD")
            counter = ("conference", month)
            return max(0, bought - self.used[counter]), (counter,)
        home = leg.get("user_country")
        if home is None or plan is None:
            return 0, ()
        domestic = price.country == home or {price.country, home} <= NORTH_AMERICA
        if not domestic and plan != "MCOPSTN2":
            return 0, ()
        region = "US" if home == "PR" else home
        count = sum(
            n
            for (sku, where), n in self.licences.items()
            if sku == plan and (where, region) != ("", "") and ("US" if where == "PR" else where) == region
        )
        big = {"MCOPSTN1": (3000, 1200), "MCOPSTN2": (3000, 1200), "MCOPSTN5": (120, 120), "MCOPSTN6": (240, 240)}
        if plan == "MCOPSTN8":
            counter = ("own", leg["user_id"], month)
            return max(0, (120 if count else 0) - self.used[counter]), (counter,)
        inside, outside = (plan, region, month, "domestic"), (plan, region, month, "international")
        limit_inside = count * big[plan][0 if region == "US" else 1]
        if plan != "MCOPSTN2":
            return max(0, limit_inside - self.used[inside]), (inside,)
        limit_outside = count * 600
        left_inside, left_outside = limit_inside - self.used[inside], limit_outside - self.used[outside]
        if left_inside <= 0 or left_outside <= 0:
            return 0, ()
        return (left_inside, (inside,)) if domestic else (left_outside, (outside,))


def bill(seconds: int, price: Price) -> int:
    """Adds increments until the leg is covered."""
    if seconds <= 0:
        return 0
    billed = price.first
    if seconds > billed:
        billed += math.ceil(Fraction(seconds - billed, price.step)) * price.step
    return billed


def read_deck(path: Path) -> dict[tuple[str, str], list[Price]]:
    """Reads our deck format, or the vendor's card."""
    prices: dict[tuple[str, str], list[Price]] = defaultdict(list)
    for row in csv.DictReader(io.StringIO(path.read_text())):
        own = "prefix" in row
        since, until = (row.get(name) or None for name in ("effective_from", "effective_to"))
        prices[row.get("direction") or "outbound", row["prefix" if own else "Prefix"].strip()].append(
            Price(
                per_minute=Fraction(row["rate_per_min" if own else "Price / min"].strip()),
                fee=Fraction(row.get("connect_fee") or "0"),
                first=int(row.get("initial_s") or 60),
                step=int(row.get("increment_s") or 60),
                kind=row["type" if own else "Destination Type"].strip(),
                country=row["country" if own else "Country"].strip(),
                allowed=(row.get("allowed") or "true").strip().lower() in ("true", "1", "yes"),
                since=datetime.fromisoformat(since).replace(tzinfo=UTC) if since else None,
                until=datetime.fromisoformat(until).replace(tzinfo=UTC) if until else None,
            )
        )
    return prices
