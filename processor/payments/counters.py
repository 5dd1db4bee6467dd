"""What the payment worker counts: for Prometheus, and for the summary line in its log."""

from collections import Counter
from typing import Final, Literal

from prometheus_client import CollectorRegistry
from prometheus_client import Counter as Metric

Outcome = Literal["succeeded", "declined", "failed", "repeated", "unanswered"]
OUTCOMES: Final[tuple[Outcome, ...]] = ("succeeded", "declined", "failed", "repeated", "unanswered")


class Payments:
    """Counts commands by outcome; `unanswered` ones stay in the topic and are asked about again."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._metric = Metric(
            "credits_payments", "Recharge commands by outcome, counted when committed", ["outcome"], registry=registry
        )
        for outcome in OUTCOMES:
            self._metric.labels(outcome)
        self._since_summary: Counter[Outcome] = Counter()

    def count(self, outcome: Outcome, times: int = 1) -> None:
        """Counts commands whose offsets are committed (or, unanswered, are not)."""
        self._metric.labels(outcome).inc(times)
        self._since_summary[outcome] += times

    def summary(self) -> dict[str, int]:
        """Returns what was counted since the last summary, and starts over."""
        counted = {str(outcome): self._since_summary[outcome] for outcome in OUTCOMES}
        self._since_summary.clear()
        return counted
