"""Turns micros into what card networks count in: the currency's minor units, exactly or not at all.

Exponents are Stripe's, which differ from ISO 4217 here and there: https://docs.stripe.com/currencies
"""

from typing import Final

from processor.domain.money import Micros

MICROS_EXPONENT: Final = 6
ZERO_DECIMAL: Final = frozenset(
    {"BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"}
)
THREE_DECIMAL: Final = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})
WHOLE_UNITS_ONLY: Final = frozenset({"ISK", "UGX"})
"""Sent with two decimals, which must be zero."""


class NotChargeable(ValueError):  # noqa: N818
    """The amount is no whole number of what the provider can charge in this currency."""


def minor_units(amount_micros: Micros, currency: str) -> int:
    """Returns the amount in minor units: 50_000_000 micros are 5000 cents, 50 yen or 50000 fils.

    Raises `NotChargeable`, for nothing is ever rounded: a charge of another amount than the one that is credited
    would be wrong on one side.
    """
    exponent = 0 if currency in ZERO_DECIMAL else 3 if currency in THREE_DECIMAL else 2
    # Card networks take dinars in steps of ten fils.
    step = 100 if currency in WHOLE_UNITS_ONLY else 10 if currency in THREE_DECIMAL else 1
    micros_each: int = 10 ** (MICROS_EXPONENT - exponent)
    minor, rest = divmod(amount_micros, micros_each)
    if rest or minor % step or minor <= 0:
        raise NotChargeable(f"{amount_micros} micros of {currency} are no chargeable amount")
    return minor
