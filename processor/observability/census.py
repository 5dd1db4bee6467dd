"""Says now and then how the accounts of a worker stand; the partitions count that as the accounts change."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from time import monotonic
from typing import Final

from prometheus_client import CollectorRegistry, Gauge

from processor.contracts import topics
from processor.domain.policy import Policy
from processor.domain.recharge import refusal
from processor.stream.partition import PartitionProcessor

PAUSE_S: Final = 10.0
AGES: Final = {"under_60s": 0.0, "over_60s": 60.0}
"""How long a payment has been due that nobody has asked for: label value -> from this many seconds on."""


class Census:
    """The gauges that say how the accounts of this worker's partitions stand."""

    def __init__(
        self,
        registry: CollectorRegistry,
        owned: Callable[[], Collection[PartitionProcessor]],
        lag: Callable[[], Mapping[str, int]],
        policy: Policy,
    ) -> None:
        self._owned, self._lag, self._policy = owned, lag, policy
        self._due_since: dict[str, float] = {}

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"credits_{name}", text, labels, registry=registry)

        self.accounts = gauge("accounts", "Accounts in this worker's partitions.")
        self.overdraft = gauge("overdraft_micros", "Sum of the overdrafts of all accounts.")
        self.overdrawn = gauge("overdrawn_accounts", "Accounts with an overdraft.")
        self.suspended = gauge("autopay_suspended", "Accounts whose auto-pay is suspended after failures.")
        self.oldest = gauge(
            "recharge_oldest_in_flight_timestamp_seconds",
            "When the oldest recharge that still waits for its result was asked for; 0 while none waits.",
        )
        self.due = gauge(
            "below_trigger_without_request", "Accounts with a payment due that was not asked for, by age.", "age"
        )
        for age in AGES:
            self.due.labels(age)
        self.lag = gauge("input_lag_records", "Records of this worker's partitions that are not fetched yet.", "topic")
        for topic in topics.INPUTS:
            self.lag.labels(topic)

    async def run(self) -> None:
        """Counts again and again, on the worker's loop."""
        while True:
            self.count()
            await asyncio.sleep(PAUSE_S)

    def count(self) -> None:
        """Sets the gauges."""
        now = datetime.now(UTC)
        accounts = overdraft = overdrawn = suspended = 0
        oldest = 0.0
        due: set[str] = set()
        for processor in self._owned():
            standings = processor.standings
            accounts += len(processor.table)
            overdraft += standings.overdraft_micros
            overdrawn += len(standings.overdrafts)
            suspended += len(standings.suspended)
            for asked in standings.waiting.values():
                oldest = min(oldest or asked.timestamp(), asked.timestamp())
            for tenant in standings.low:
                account = processor.table.get(tenant)
                if account is not None and refusal(account, now, self._policy) is None:
                    due.add(tenant)
        self.accounts.set(accounts)
        self.overdraft.set(overdraft)
        self.overdrawn.set(overdrawn)
        self.suspended.set(suspended)
        self.oldest.set(oldest)
        self._set_due(due)
        for topic, records in self._lag().items():
            self.lag.labels(topic).set(records)

    def _set_due(self, due: set[str]) -> None:
        now = monotonic()
        self._due_since = {tenant: self._due_since.get(tenant, now) for tenant in due}
        old = sum(now - since >= AGES["over_60s"] for since in self._due_since.values())
        self.due.labels("over_60s").set(old)
        self.due.labels("under_60s").set(len(due) - old)
