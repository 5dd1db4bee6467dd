"""What the payment worker counts: for Prometheus, and for the summary line in its log."""

from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager
from time import time
from typing import Any, Final, Literal

import structlog
from prometheus_client import CollectorRegistry, Gauge, Histogram
from prometheus_client import Counter as Metric

Outcome = Literal["succeeded", "declined", "failed", "repeated", "unanswered"]
OUTCOMES: Final[tuple[Outcome, ...]] = ("succeeded", "declined", "failed", "repeated", "unanswered")
SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20)

log = structlog.get_logger(__name__)


class Payments:
    """Counts commands by outcome, and tells of what a person should look at.

    `unanswered` commands stay in the topic and are asked about again.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._metric = Metric(
            "credits_payments", "Recharge commands by outcome, counted when committed", ["outcome"], registry=registry
        )
        for outcome in OUTCOMES:
            self._metric.labels(outcome)
        self._seconds = Histogram(
            "credits_payment_provider_seconds", "One question to the provider", buckets=SECONDS, registry=registry
        )
        self._timeouts = Metric(
            "credits_payment_provider_timeouts",
            "Questions to the provider without a final answer; each is asked again under the same key",
            registry=registry,
        )
        self._cards = Metric(
            "credits_payment_cards_changed",
            "Payments with another card than the last one under the same payment method",
            registry=registry,
        )
        self._open = Gauge(
            "credits_payment_inbox", "Recharges without a committed result, by state", ["state"], registry=registry
        )
        self.set_open({"received": 0, "charging": 0, "decided": 0})
        clock = Gauge(
            "credits_time_seconds",
            "This machine's clock at the scrape, to be compared with Prometheus's.",
            registry=registry,
        )
        clock.set_function(time)
        self._since_summary: Counter[Outcome] = Counter()

    def count(self, outcome: Outcome, times: int = 1) -> None:
        """Counts commands whose offsets are committed (or, unanswered, are not)."""
        self._metric.labels(outcome).inc(times)
        self._since_summary[outcome] += times

    def asking(self) -> AbstractContextManager[Any]:
        """Times one question to the provider."""
        return self._seconds.time()

    def timed_out(self, recharge_id: str, error: Exception) -> None:
        """Counts a question without a final answer."""
        self._timeouts.inc()
        log.info("the provider gave no final answer", recharge_id=recharge_id, error=str(error))

    def card_changed(self, recharge_id: str) -> None:
        """Counts a payment that another card paid than before."""
        self._cards.inc()
        log.warning("the card behind the payment method has changed", recharge_id=recharge_id)

    def set_open(self, open_by_state: Mapping[str, int]) -> None:
        """Sets how many recharges wait in which state of the inbox."""
        for state, number in open_by_state.items():
            self._open.labels(state).set(number)

    def summary(self) -> dict[str, int]:
        """Returns what was counted since the last summary, and starts over."""
        counted = {str(outcome): self._since_summary[outcome] for outcome in OUTCOMES}
        self._since_summary.clear()
        return counted
