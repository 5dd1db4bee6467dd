"""Money is int64 micros: millionths of the currency's major unit."""

import re
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

Micros = int

MICROS_PER_UNIT: Final = 1_000_000
MAX_MICROS: Final = 2**53 - 1
"""The largest amount that every JSON reader holds exactly."""

MAX_PAYMENT_MICROS: Final = 10**12
"""One million of the major unit: no single payment, trigger or funding is larger."""

_AMOUNT: Final = re.compile(r"([+-]?)([0-9]+)(?:\.([0-9]+))?")


def charge_micros(billed_s: int, rate_micros_per_min: Micros, connect_fee_micros: Micros) -> Micros:
    """Prices one leg: the only place where money is rounded, half up, once per leg.

    >>> charge_micros(61, 155_000, 0)
    157583
    """
    return connect_fee_micros + (billed_s * rate_micros_per_min + 30) // 60


def parse(text: str) -> Micros:
    """Reads a decimal amount of the major unit, exactly.

    Raises `ValueError` for anything else: an exponent, separators, more than six decimals, too large.

    >>> parse("0.0155")
    15500
    """
    found = _AMOUNT.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not a decimal amount")
    sign, whole, decimals = found.groups()
    whole, decimals = whole.lstrip("0"), (decimals or "").rstrip("0")
    if len(decimals) > 6:
        raise ValueError(f"{text!r} has more than six decimals")
    if len(whole) > 10 or (micros := int(f"0{whole}{decimals:0<6}")) > MAX_MICROS:
        raise ValueError(f"{text!r} is too large")
    return -micros if sign == "-" else micros


def show(micros: Micros, currency: str = "", *, decimals: int = 2) -> str:
    """Writes an amount for a person; more decimals appear only when the amount has them.

    >>> show(-1_234_567_890, "USD")
    '-1,234.56789 USD'
    """
    exact = Decimal(micros) / MICROS_PER_UNIT
    places = max(decimals, len(format(exact.normalize(), "f").partition(".")[2]))
    text = f"{exact.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN):,}"
    return f"{text} {currency}" if currency else text
