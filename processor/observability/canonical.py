"""One log line a minute that says what a worker did: the differences of its counters, no ids, no values of records."""

import asyncio
from collections.abc import Iterable
from typing import Final

import structlog
from prometheus_client import CollectorRegistry

PERIOD_S: Final = 60.0

FIELDS: Final[dict[str, tuple[str, str | None]]] = {
    "events": ("credits_events_total", "outcome"),
    "cycles": ("credits_batch_events_count", None),
    "parked": ("credits_dead_letters_total", "reason"),
    "recharges": ("credits_recharge_total", "outcome"),
    "notices": ("credits_notifications_total", "type"),
    "debited_micros": ("credits_debited_micros_total", None),
}
"""Field of the line -> the sample it is taken from and the label it is split by."""

Totals = dict[str, dict[str, int]]

log = structlog.get_logger()


class CanonicalLine:
    """Remembers what the counters were at the last line."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._last = self._totals()

    async def run(self) -> None:
        """Writes the line every minute, also when there is nothing to tell: silence is a fault."""
        while True:
            await asyncio.sleep(PERIOD_S)
            log.info("worked", **self.since_last())

    def since_last(self) -> dict[str, int | dict[str, int]]:
        """Returns what was counted since the last call; what is split by a label leaves zeros out."""
        before, self._last = self._last, self._totals()
        grown = {
            field: {value: count - before[field].get(value, 0) for value, count in counts.items()}
            for field, counts in self._last.items()
        }
        return {
            field: {value: count for value, count in counts.items() if count}
            if FIELDS[field][1]
            else sum(counts.values())
            for field, counts in grown.items()
        }

    def _totals(self) -> Totals:
        totals: Totals = {field: {} for field in FIELDS}
        by_sample = {sample: (field, label) for field, (sample, label) in FIELDS.items()}
        for name, labels, value in self._samples():
            if name in by_sample:
                field, label = by_sample[name]
                split = labels[label] if label else ""
                totals[field][split] = totals[field].get(split, 0) + int(value)
        return totals

    def _samples(self) -> Iterable[tuple[str, dict[str, str], float]]:
        for family in self._registry.collect():
            for sample in family.samples:
                yield sample.name, sample.labels, sample.value
