"""The live summary of `credits demo`: what an operator would read from the metrics and the balance table."""

import threading
import time
import urllib.error
import urllib.request
from collections import deque
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, NamedTuple, Self

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from processor.contracts import topics
from processor.contracts.outputs import decode_account
from processor.domain.account import Account
from processor.domain.money import show

SETTLED_LOOKS = 4
"""So many looks without a change mean that nothing is under way any more."""


class Totals(NamedTuple):
    """What the worker's metrics say, summed for a person."""

    events: float = 0
    charged: float = 0
    duplicates: float = 0
    debited_micros: float = 0
    requested: float = 0
    decided: float = 0
    succeeded: float = 0
    in_flight: float = 0
    age_p50_s: float = 0
    age_p99_s: float = 0
    settled: bool = False


class Screen:
    """Reads the worker's metrics page and follows the balance table; draws both."""

    def __init__(self, brokers: str, metrics_port: int) -> None:
        self._url = f"http://127.0.0.1:{metrics_port}/metrics"
        self._balances = _Balances(brokers)
        self._history: deque[tuple[float, Totals]] = deque(maxlen=10)
        self._unchanged = 0
        self._note = ""
        self._live: Live | None = None
        self._console = Console()

    def __enter__(self) -> Self:
        self._balances.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._balances.stop()

    def worker_is_up(self) -> bool:
        """Tells whether the worker owns partitions."""
        return self._samples().get("credits_assigned_partitions", 0) > 0

    def live(self) -> AbstractContextManager[object]:
        """Keeps the summary on the terminal; without a terminal it is printed now and then."""
        self._live = Live(console=self._console, refresh_per_second=2, transient=False)
        return self._live

    def say(self, note: str) -> None:
        """Changes the line under the tables."""
        self._note = note

    def refresh(self) -> Totals:
        """Reads the present figures, draws them and returns them."""
        totals = _totals(self._samples())
        before = self._history[-1][1] if self._history else Totals()
        self._unchanged = self._unchanged + 1 if totals == before and not totals.in_flight else 0
        self._history.append((time.monotonic(), totals))
        if self._live is not None:
            self._live.update(self._drawing(totals))
        return totals._replace(settled=self._unchanged >= SETTLED_LOOKS)

    def _samples(self) -> dict[str, float]:
        try:
            with urllib.request.urlopen(self._url, timeout=2) as page:  # noqa: S310 - our own loopback page
                text = page.read().decode()
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return {}
        found: dict[str, float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = ",".join(sample.labels.values())
                found[f"{sample.name}:{labels}" if labels else sample.name] = sample.value
        return found

    def _drawing(self, totals: Totals) -> Group:
        (then, past), (now, _) = self._history[0], self._history[-1]
        per_s = (totals.events - past.events) / (now - then) if now > then else 0.0
        figures = Table.grid(padding=(0, 3))
        figures.add_row("events", f"{totals.events:,.0f}", f"{per_s:,.0f} per second")
        figures.add_row(
            "debited", _to_the_cent(int(totals.debited_micros), "USD"), f"{totals.charged:,.0f} legs charged"
        )
        figures.add_row("duplicates", f"{totals.duplicates:,.0f}", "recognised and not charged")
        figures.add_row(
            "recharges",
            f"{totals.requested:,.0f} requested",
            f"{totals.decided:,.0f} decided, {totals.succeeded:,.0f} succeeded, {totals.in_flight:,.0f} in flight",
        )
        figures.add_row("event age", f"p50 ≤ {totals.age_p50_s:g} s", f"p99 ≤ {totals.age_p99_s:g} s (end to commit)")
        return Group(Text("Communication Credits", style="bold"), figures, self._balances.table(), Text(self._note))


class _Balances:
    """Follows `account.state.v1`, read_committed, in a thread of its own."""

    SHOWN = 6

    def __init__(self, brokers: str) -> None:
        self._accounts: dict[str, Account] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, args=(brokers,), daemon=True)

    def start(self) -> None:
        """Starts to follow."""
        self._thread.start()

    def stop(self) -> None:
        """Stops and waits for the thread."""
        self._stop.set()
        self._thread.join()

    def table(self) -> Table:
        """Draws the accounts that were touched last, and the sum of all."""
        accounts = list(self._accounts.values())
        total = sum(account.balance_micros for account in accounts)
        table = Table(title=f"{len(accounts)} balances, together {_to_the_cent(total, 'USD')}", title_justify="left")
        for heading in ("tenant", "balance", "auto-pay at", "recharge"):
            table.add_column(heading, justify="left" if heading in ("tenant", "recharge") else "right")
        for account in sorted(accounts, key=lambda account: account.revision, reverse=True)[: self.SHOWN]:
            trigger = show(account.autopay.trigger_micros, account.currency, code=False) if account.autopay else "off"
            state = account.recharge.in_flight or ("suspended" if account.recharge.suspended else "")
            table.add_row(account.tenant_id, _to_the_cent(account.balance_micros, account.currency), trigger, state)
        return table

    def _follow(self, brokers: str) -> None:
        conf: dict[str, Any] = {"bootstrap.servers": brokers, "group.id": "demo", "enable.auto.commit": False}
        consumer = Consumer({**conf, "isolation.level": "read_committed", "log_level": 0})
        partitions = len(consumer.list_topics(topics.ACCOUNT_STATE, timeout=10).topics[topics.ACCOUNT_STATE].partitions)
        consumer.assign([TopicPartition(topics.ACCOUNT_STATE, p, OFFSET_BEGINNING) for p in range(partitions)])
        while not self._stop.is_set():
            for record in consumer.consume(5000, 0.2):
                if record.error() is None:
                    account = decode_account(record.value())
                    self._accounts = {**self._accounts, account.tenant_id: account}
        consumer.close()


def _to_the_cent(micros: int, currency: str) -> str:
    return show(round(micros, -4), currency)


def _totals(samples: dict[str, float]) -> Totals:
    def total(name: str, *parts: str) -> float:
        return sum(
            value
            for key, value in samples.items()
            if key.startswith(name + ":") and all(part in key.split(":", 1)[1].split(",") for part in parts)
        )

    return Totals(
        events=total("credits_events_consumed_total"),
        charged=total("credits_events_total", "charged"),
        duplicates=total("credits_events_total", "duplicate"),
        debited_micros=total("credits_debited_micros_total"),
        requested=total("credits_recharge_total", "requested"),
        succeeded=total("credits_recharge_total", "succeeded"),
        decided=sum(total("credits_recharge_total", status) for status in ("succeeded", "declined", "failed")),
        in_flight=samples.get("credits_recharge_in_flight", 0),
        age_p50_s=_quantile(samples, 0.5),
        age_p99_s=_quantile(samples, 0.99),
    )


def _quantile(samples: dict[str, float], share: float) -> float:
    """The upper bound of the histogram bucket that holds this share of the events."""
    name = "credits_event_age_seconds_bucket:"
    buckets = sorted((float(key.removeprefix(name)), count) for key, count in samples.items() if key.startswith(name))
    wanted = samples.get("credits_event_age_seconds_count", 0) * share
    return next((bound for bound, count in buckets if count >= wanted), 0.0)
