"""The price of a number, for every peer in Python: the longest prefix of a rate deck, UK premium numbers refused."""

import csv
import os
from pathlib import Path


class Rates:
    """The deck in `CREDITS_RATES`."""

    def __init__(self) -> None:
        with Path(os.environ["CREDITS_RATES"]).open(newline="") as file:
            rows = csv.DictReader(file)
            self._prices = {row["prefix"]: round(float(row["rate_per_min"]) * 1_000_000) for row in rows}
        self._lengths = sorted({len(prefix) for prefix in self._prices}, reverse=True)

    def cost(self, callee: str, connected_ms: int) -> int:
        """Returns the cost in micros of a call to `+` and digits, by begun minutes."""
        if callee.startswith("+449"):
            return 0
        prices = self._prices
        for length in self._lengths:
            price = prices.get(callee[1 : length + 1])
            if price is not None:
                return -(-connected_ms // 60_000) * price
        raise LookupError(f"no price for {callee}")
