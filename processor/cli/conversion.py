"""What a conversion came to: counted row by row, told to a person or a program at the end; rejected rows are kept."""

import json
from collections import Counter
from typing import Any, Final

import click

from processor.adapters import Converted, LeftOut, Outcome, Rejected
from processor.cli.rejects import Rejects
from processor.domain.money import show

EXAMPLES: Final = 5
"""Lines named per reason: enough to begin with."""


class Tally:
    """Counts outcomes and gives rejected rows to `rejects`, if there is one."""

    def __init__(self, rejects: Rejects | None = None) -> None:
        self.rows = 0
        self.events: Counter[str] = Counter()
        self.left_out: Counter[str] = Counter()
        self.rejected: dict[str, list[int]] = {}
        self.over_a_day: list[int] = []
        self.vendor_charges: Counter[str] = Counter()
        self._rejected = 0
        self._rejects = rejects

    @property
    def rejected_rows(self) -> int:
        """How many rows somebody must look at."""
        return self._rejected

    def add(self, outcome: Outcome) -> None:
        """Counts one row."""
        self.rows += 1
        match outcome:
            case Converted(line, usage):
                self.events[usage.topic] += 1
                if usage.vendor_charge_micros is not None and usage.vendor_currency is not None:
                    self.vendor_charges[usage.vendor_currency] += usage.vendor_charge_micros
                if usage.over_a_day:
                    self._example(self.over_a_day, line)
            case LeftOut(_, left):
                self.left_out[left] += 1
            case Rejected(line, reason, message):
                self._rejected += 1
                self._example(self.rejected.setdefault(f"{reason}: {message}", []), line)
                if self._rejects is not None:
                    self._rejects.keep(outcome)

    def lines(self) -> list[str]:
        """Tells a person."""
        told = [f"rows: {self.rows:,}", f"events: {self.events.total():,}{_listed(self.events)}"]
        if self.left_out:
            told.append(f"no usage: {self.left_out.total():,}{_listed(self.left_out)}")
        if self._rejected:
            told.append(f"rejected: {self._rejected:,}")
            told += [f"  {why} (line {_lines(found)})" for why, found in self.rejected.items()]
        if self.over_a_day:
            told.append(f"legs of more than 24 hours, worth a look: line {_lines(self.over_a_day)}")
        if self.vendor_charges:
            charges = ", ".join(show(micros, currency) for currency, micros in sorted(self.vendor_charges.items()))
            told.append(f"the vendor's own charge for these events: {charges}")
        return told

    def document(self) -> dict[str, Any]:
        """Tells a program; charges are integer micros."""
        return {
            "rows": self.rows,
            "events": dict(self.events),
            "left_out": dict(self.left_out),
            "rejected": self._rejected,
            "rejected_at": self.rejected,
            "over_a_day_at": self.over_a_day,
            "vendor_charges_micros": dict(self.vendor_charges),
        }

    def report(self, *, as_json: bool, published: int | None = None) -> None:
        """Writes the summary to standard error; `published` is how many events the brokers have acknowledged."""
        if as_json:
            click.echo(json.dumps(self.document() | {"published": published}), err=True)
            return
        for line in self.lines():
            click.echo(line, err=True)
        if published is not None:
            click.echo(f"published: {published:,}", err=True)

    @staticmethod
    def _example(lines: list[int], line: int) -> None:
        if len(lines) <= EXAMPLES:
            lines.append(line)


def _listed(counts: Counter[str]) -> str:
    return f" ({', '.join(f'{count:,} {name}' for name, count in sorted(counts.items()))})" if counts else ""


def _lines(found: list[int]) -> str:
    return ", ".join(map(str, found[:EXAMPLES])) + (", …" if len(found) > EXAMPLES else "")
