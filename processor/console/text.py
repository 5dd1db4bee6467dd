"""Words, money and dates in the reader's language."""

import io
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Final

from babel import Locale, dates, numbers
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import Translations

from processor.domain.money import MICROS_PER_UNIT, Micros

LOCALES: Final = {"en": Locale("en"), "ar": Locale("ar")}
"""The languages of the pages; the first is the one for everybody else."""

_RTL_MARK, _LTR, _POP = "\N{RIGHT-TO-LEFT MARK}", "\N{LEFT-TO-RIGHT ISOLATE}", "\N{POP DIRECTIONAL ISOLATE}"
_ISOLATE: Final = "\N{FIRST STRONG ISOLATE}"
_CATALOGUES: Final = Path(__file__).with_name("locale")


def N_(message: str) -> str:  # noqa: N802 - the name by which extraction tools know it
    """Marks a text that is translated where it is shown."""
    return message


class Text:
    """One language."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.locale = LOCALES[code]
        self.direction = self.locale.text_direction
        self.translations = _translations(code)

    def say(self, message: str, **values: str) -> str:
        """Writes a sentence with its values; each keeps its own direction, so `+44` stays that in Arabic."""
        if self.direction == "rtl":
            values = {name: f"{_ISOLATE}{value}{_POP}" for name, value in values.items()}
        return self.translations.gettext(message) % values

    def money(self, micros: Micros, currency: str) -> str:
        """Writes an amount with its currency; more decimals than usual appear only when the amount has them."""
        amount = Decimal(micros) / MICROS_PER_UNIT
        usual = numbers.get_currency_precision(currency)
        exact = -int(amount.normalize().as_tuple().exponent) > usual
        written = numbers.format_currency(
            amount, currency, locale=self.locale, decimal_quantization=not exact, currency_digits=not exact
        )
        # Isolated from right-to-left text as a whole: CLDR's own mark would turn US$ into $US.
        return f"{_LTR}{written.replace(_RTL_MARK, '')}{_POP}" if self.direction == "rtl" else written

    def number(self, value: float) -> str:
        """Writes a number."""
        return numbers.format_decimal(value, locale=self.locale)

    def percent(self, value: int) -> str:
        """Writes a share of a hundred."""
        return numbers.format_percent(Decimal(value) / 100, locale=self.locale)

    def day(self, day: date | str) -> str:
        """Writes a date."""
        found = date.fromisoformat(day) if isinstance(day, str) else day
        return dates.format_date(found, "medium", self.locale)

    def month(self, month: str) -> str:
        """Writes a month that is given as `YYYY-MM`."""
        return str(dates.format_skeleton("yMMMM", date.fromisoformat(f"{month}-01"), locale=self.locale))

    def time(self, at: str) -> str:
        """Writes an RFC 3339 time as date and time of day, in UTC."""
        return f"{dates.format_datetime(datetime.fromisoformat(at), 'medium', dates.UTC, self.locale)} UTC"

    def country(self, code: str) -> str:
        """Names a country; an unknown code stays as it is."""
        return str(self.locale.territories.get(code, code))


def _translations(code: str) -> Translations:
    path = _CATALOGUES / code / "messages.po"
    if not path.exists():
        return Translations()  # the language that the pages are written in
    compiled = io.BytesIO()
    with path.open("rb") as file:
        write_mo(compiled, read_po(file, locale=code))
    compiled.seek(0)
    return Translations(compiled)


def best_language(wanted: str | None, accepted: str | None) -> str:
    """Chooses the language: the one that was chosen on the page, else the one that the browser likes best."""
    if wanted in LOCALES:
        return str(wanted)
    liked: dict[str, float] = {}
    for part in (accepted or "").split(","):
        name, _, quality = part.partition(";q=")
        code = name.strip().partition("-")[0].lower()
        if code in LOCALES and (rank := _rank(quality)) > 0:
            liked.setdefault(code, rank)
    return max(liked, key=liked.__getitem__, default=next(iter(LOCALES)))


def _rank(quality: str) -> float:
    """Reads a quality of `Accept-Language` (RFC 9110 12.4.2); one that cannot be read counts least."""
    try:
        return float(quality or 1)
    except ValueError:
        return 0.0


TEXTS: Final[dict[str, Text]] = {code: Text(code) for code in LOCALES}
