"""Who calls whom: tenants with a home country and service numbers, destinations drawn from the rate decks."""

from bisect import bisect
from collections.abc import Sequence
from datetime import datetime
from itertools import accumulate
from random import Random
from typing import Final

from msgspec import Struct

from processor.domain.tariff import Row

HOME_COUNTRIES: Final = {"US": 50, "GB": 18, "DE": 10, "CA": 6, "FR": 6, "NL": 4, "ES": 3, "IT": 3}
"""Where tenants sit, in per cent."""

POPULAR: Final = {
    "US": 30,
    "GB": 14,
    "DE": 9,
    "CA": 7,
    "FR": 6,
    "ES": 4,
    "IT": 4,
    "NL": 4,
    "IN": 4,
    "MX": 3,
    "AU": 3,
    "JP": 2,
    "BR": 2,
    "CH": 2,
}
"""Share of the calls, in per cent, by destination country; all other countries of the decks share the rest."""

REST: Final = 6
TOTAL_DIGITS: Final = (11, 12, 13)
NORTH_AMERICAN_DIGITS: Final = 11
LONGEST: Final = 15
TOP_TENANT: Final = 0.35
TOP_TEN: Final = 0.90
HEAD: Final = 10
TOP_DECLINE: Final = 0.8
"""The second to tenth tenant of a skewed population: each has this share of the one before it."""


class Tenant(Struct, frozen=True):
    """A customer organisation of the platform; numbers are E.164."""

    tenant_id: str
    key: bytes
    country: str
    user_number: str
    toll_number: str
    toll_free_number: str | None


class Destinations:
    """Numbers that the decks can price, popular countries first; `rows` are those of one direction and currency."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = [row for row in rows if len(row.prefix) < LONGEST]
        in_country: dict[str, int] = {}
        for row in self._rows:
            in_country[row.country] = in_country.get(row.country, 0) + 1
        others = len(in_country.keys() - POPULAR.keys())
        self._weights = list(
            accumulate(
                (POPULAR[row.country] if row.country in POPULAR else REST / others) / in_country[row.country]
                for row in self._rows
            )
        )

    def __bool__(self) -> bool:
        return bool(self._rows)

    def draw_rows(self, rng: Random, count: int) -> list[Row]:
        """Draws rows by the weight of their country."""
        return rng.choices(self._rows, cum_weights=self._weights, k=count)

    def draw_in(self, rng: Random, country: str) -> Row:
        """Draws a row of the country, or any row when the decks have none of it."""
        return rng.choice([row for row in self._rows if row.country == country] or self._rows)


def number_under(row: Row, rng: Random) -> str:
    """Completes a prefix with random digits to a plausible E.164 number."""
    prefix = row.prefix
    total = NORTH_AMERICAN_DIGITS if prefix[0] == "1" else TOTAL_DIGITS[int(rng.random() * 3)]
    missing = max(total - len(prefix), 1)
    return f"+{prefix}{int(rng.random() * 10**missing):0{missing}d}"


def usable(rows: Sequence[Row], direction: str, currency: str, at: datetime) -> list[Row]:
    """Keeps the rows that price a leg of that direction and currency now, and allow it."""
    return [
        row
        for row in rows
        if row.direction == direction and row.currency == currency and row.allowed and row.effective(at)
    ]


def tenant_ids(count: int) -> list[str]:
    """Names the tenants of a population: `tenant-00001` and so on."""
    return [f"tenant-{number:05d}" for number in range(1, count + 1)]


def tenant_weights(count: int, *, skew: bool) -> list[float]:
    """Returns the cumulative weights of tenants: equal, or the first one with 35 % and the first ten with 90 %."""
    if not skew or count == 1:
        return [float(number) for number in range(1, count + 1)]
    head = min(HEAD, count)
    followers = [TOP_DECLINE**place for place in range(head - 1)]
    scale = (TOP_TEN - TOP_TENANT) / sum(followers)
    weights = [TOP_TENANT, *(share * scale for share in followers)]
    weights += [(1 - TOP_TEN) / max(count - head, 1)] * (count - head)
    return list(accumulate(weights))


class Population:
    """The tenants, each made up when it is first needed; the same seed makes up the same ones."""

    def __init__(
        self, seed: int, count: int, outbound: Destinations, toll_free: Destinations, toll: Destinations, *, skew: bool
    ) -> None:
        self.ids = tenant_ids(count)
        self._seed = seed
        self._weights = tenant_weights(count, skew=skew)
        self._outbound, self._toll_free, self._toll = outbound, toll_free, toll
        self._known: dict[str, Tenant] = {}
        self._homes = list(HOME_COUNTRIES)
        self._home_weights = list(accumulate(HOME_COUNTRIES.values()))

    def draw(self, rng: Random, count: int) -> list[Tenant]:
        """Draws the tenants of the next `count` events."""
        return [self.tenant(name) for name in rng.choices(self.ids, cum_weights=self._weights, k=count)]

    def tenant(self, name: str) -> Tenant:
        """Returns a tenant by its id."""
        found = self._known.get(name)
        if found is None:
            found = self._known[name] = self._make_up(name)
        return found

    def _make_up(self, name: str) -> Tenant:
        rng = Random(f"{self._seed}:{name}")
        country = self._homes[bisect(self._home_weights, rng.random() * self._home_weights[-1])]
        own = self._outbound.draw_in(rng, country)
        bridge = self._toll.draw_in(rng, country) if self._toll else own
        return Tenant(
            tenant_id=name,
            key=name.encode(),
            country=country,
            user_number=number_under(own, rng),
            toll_number=number_under(bridge, rng),
            toll_free_number=number_under(self._toll_free.draw_in(rng, country), rng) if self._toll_free else None,
        )
