"""Rate cards in the vendor's format: a small one with invented prices, and the public one where it lies beside the
checkout, which is not ours to ship."""

import csv
from fractions import Fraction
from pathlib import Path

ROOT = Path(__file__).parents[1]
INVENTED = ROOT / "tests" / "fixtures" / "vendor-card.csv"
PUBLIC = ROOT.parent / "shared" / "data" / "communication-services-pstn-rates.csv"
CARDS = [INVENTED, *([PUBLIC] if PUBLIC.exists() else [])]


def prices(card: Path) -> list[tuple[str, Fraction]]:
    """Reads prefixes and micros per minute without the product's help."""
    with card.open(newline="") as file:
        return [(row["Prefix"].strip(), Fraction(row["Price / min"]) * 1_000_000) for row in csv.DictReader(file)]
