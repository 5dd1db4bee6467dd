"""The price of a number, for every peer in Python: the longest prefix of a rate deck, UK premium numbers refused."""

import csv
import os
from pathlib import Path

LONGEST = 8
"""Digits of the deck's longest prefix, so a price depends on no more of a number."""


class Rates:
    """The deck in `CREDITS_RATES`; remembers what it has found."""

    def __init__(self) -> None:
        with Path(os.environ["CREDITS_RATES"]).open(newline="") as file:
            rows = csv.DictReader(file)
            self._prices = {row["prefix"]: round(float(row["rate_per_min"]) * 1_000_000) for row in rows}
        self._found: dict[str, int] = {}

    def cost(self, callee: str, connected_ms: int) -> int:
        """Returns the cost in micros of a call to `+` and digits, by begun minutes."""
        head = callee[1 : LONGEST + 1]
        price = self._found.get(head)
        if price is None:
            price = self._found[head] = self._find(head)
        return -(-connected_ms // 60_000) * price

    def _find(self, head: str) -> int:
        if head.startswith("449"):
            return 0
        longest_first = (head[:length] for length in range(len(head), 0, -1))
        return next(self._prices[prefix] for prefix in longest_first if prefix in self._prices)
