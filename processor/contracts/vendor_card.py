"""The vendor's published rate card, turned into our deck format."""

import csv
import io
from pathlib import Path

from processor.contracts import deck_csv
from processor.contracts.deck_columns import REQUIRED
from processor.contracts.deck_csv import DeckError
from processor.contracts.decks import VENDOR_HEADER, parse


def import_card(path: Path) -> str:
    """Returns the card as the text of a deck file.

    The card has no increments, fees or dates, so the defaults of the format apply to it. Raises `DeckError`, also when
    what comes out is no valid deck, and `OSError`.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(REQUIRED)
    problems = []
    with path.open("rb") as file:
        lines = deck_csv.read(file, path.stem)
        if tuple(next(lines, (1, []))[1]) != VENDOR_HEADER:
            raise DeckError(path.stem, [(1, f"the header is not the vendor's: {','.join(VENDOR_HEADER)}")])
        for line, fields in lines:
            if len(fields) == len(VENDOR_HEADER):
                destination, kind, country, prefix, rate = (field.strip() for field in fields)
                writer.writerow((prefix, destination, kind.lower(), country.upper(), rate))
            else:
                problems.append((line, f"the row has {len(fields)} fields, the header {len(VENDOR_HEADER)}"))
    if problems:
        raise DeckError(path.stem, problems)
    parse(out.getvalue(), path.stem)
    return out.getvalue()
