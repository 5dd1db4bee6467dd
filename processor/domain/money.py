"""Money is int64 micros: millionths of the currency's major unit."""

import re
from typing import Final

Micros = int

MICROS_PER_UNIT: Final = 1_000_000
MAX_MICROS: Final = 2**53 - 1
"""The largest amount that every JSON reader holds exactly."""

MAX_PAYMENT_MICROS: Final = 10**12
"""One million of the major unit: no single payment, trigger or funding is larger."""

_CURRENCIES: Final = {
    0: frozenset(
        {"BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV"}
        | {"XAF", "XOF", "XPF"}
    ),
    3: frozenset({"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"}),
    4: frozenset({"CLF", "UYW"}),
}
"""Currencies by the decimals of their major unit, where these are not two: ISO 4217, list one."""

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


def exponent(currency: str) -> int:
    """Returns how many decimals the major unit of a currency has in ISO 4217.

    >>> exponent("JPY"), exponent("USD"), exponent("KWD")
    (0, 2, 3)
    """
    return next((decimals for decimals, codes in _CURRENCIES.items() if currency in codes), 2)


def show(micros: Micros, currency: str = "", *, code: bool = True) -> str:
    """Writes an amount for a person with the decimals of its currency; more only when the amount has them.

    `code` False leaves the currency's name out, for a column that says it elsewhere.

    >>> show(-1_234_567_890, "USD"), show(5_000_000, "JPY"), show(5_500_000, "KWD", code=False)
    ('-1,234.56789 USD', '5 JPY', '5.500')
    """
    whole, decimals = divmod(abs(micros), MICROS_PER_UNIT)
    digits = f"{decimals:06}".rstrip("0").ljust(exponent(currency), "0")
    sign, point = "-" if micros < 0 else "", "." if digits else ""
    text = f"{sign}{whole:,}{point}{digits}"
    return f"{text} {currency}" if code and currency else text
