"""A bar per day as SVG geometry; the template draws it, so the page needs no script for its chart."""

from typing import Final, NamedTuple

from processor.console.queries import Consumption

WIDTH: Final = 720
HEIGHT: Final = 160
_GAP: Final = 3


class Bar(NamedTuple):
    """One day, in units of the view box."""

    x: float
    y: float
    width: float
    height: float
    day: Consumption


def bars(days: list[Consumption], *, rtl: bool) -> list[Bar]:
    """Lays out the days in reading order, the dearest at full height. A day of refunds has no bar."""
    most = max((day.spent_micros for day in days), default=0) or 1
    step = WIDTH / max(len(days), 1)
    placed = []
    for at, day in enumerate(days):
        column = len(days) - 1 - at if rtl else at
        height = HEIGHT * max(day.spent_micros, 0) / most
        placed.append(
            Bar(round(column * step, 2), round(HEIGHT - height, 2), round(step - _GAP, 2), round(height, 2), day)
        )
    return placed
