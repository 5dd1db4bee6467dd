"""Amounts as people type them into a form."""

import unicodedata
from decimal import Decimal
from typing import Final

from processor.domain.money import MICROS_PER_UNIT, Micros, parse

_SIGNS: Final = str.maketrans("\N{ARABIC DECIMAL SEPARATOR}\N{MINUS SIGN}", ".-", " \N{NO-BREAK SPACE}")


class NotAnAmountError(ValueError):
    """What was typed is no decimal amount of the major unit."""


def whole(typed: str) -> int:
    """Reads a number without decimals or sign in the digits of any script. Raises `ValueError`.

    >>> whole("١٢")
    12
    """
    if not typed.strip().isdecimal():
        raise ValueError("not a whole number")
    return int(typed)


def amount(typed: str) -> Micros:
    """Reads an amount of the major unit in the digits of any script. Raises `NotAnAmountError`.

    >>> amount("٥٠٫٢٥")
    50250000
    """
    digits = "".join(str(unicodedata.decimal(sign)) if sign.isdecimal() else sign for sign in typed.translate(_SIGNS))
    try:
        return parse(digits)
    except ValueError as error:
        raise NotAnAmountError(str(error)) from error


def plain(micros: Micros) -> str:
    """Writes an amount as a form field shows it.

    >>> plain(20_500_000)
    '20.5'
    """
    return format((Decimal(micros) / MICROS_PER_UNIT).normalize(), "f")
