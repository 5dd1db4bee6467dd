"""Amounts and times as people write and read them on the command line."""

from datetime import UTC, datetime
from typing import Final

import click

from processor.domain.money import MAX_PAYMENT_MICROS, Micros, parse, show


class Amount(click.ParamType):
    """A decimal amount of the major unit, exactly; the command receives micros."""

    name = "amount"

    def __init__(self, *, positive: bool = False, signed: bool = False) -> None:
        self._positive, self._signed = positive, signed

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> Micros:
        """Reads the amount; exit code 2 with the reason when it is none."""
        if isinstance(value, int):
            return value
        try:
            micros = parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if (micros < 0 and not self._signed) or (self._positive and micros == 0):
            self.fail(f"{value} is not {'more than zero' if self._positive else 'zero or more'}", param, ctx)
        if abs(micros) > MAX_PAYMENT_MICROS:
            self.fail(f"{value} is more than {show(MAX_PAYMENT_MICROS)}", param, ctx)
        return micros


AMOUNT: Final = Amount()
PAYMENT: Final = Amount(positive=True)
ADJUSTMENT: Final = Amount(signed=True)


def show_time(at: datetime) -> str:
    """Writes a time for a person.

    >>> show_time(datetime(2026, 3, 1, 12, tzinfo=UTC))
    '2026-03-01 12:00:00 UTC'
    """
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
