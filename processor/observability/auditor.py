"""What `credits verify --follow` tells Prometheus and the orchestrator: how much was checked, and what was found."""

from time import monotonic, time
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from processor.observability.health import LIVE_WITHIN_S


class Auditor:
    """Metrics and probes of one auditor; `every_s` is the pause between two rounds."""

    def __init__(self, registry: CollectorRegistry, every_s: float) -> None:
        self._patience_s: Final = 3 * every_s + LIVE_WITHIN_S
        self._beat_at = monotonic()
        self._round_at: float | None = None
        self._drifts = Gauge(
            "credits_audit_drifts",
            "Drifts between ledger, accounts and recharges that the auditor has found since its start.",
            registry=registry,
        )
        self._entries = Counter("credits_audit_entries", "Ledger entries that were checked.", registry=registry)
        self._last = Gauge(
            "credits_audit_last_round_timestamp_seconds", "When the last round was complete.", registry=registry
        )
        self._seconds = Gauge("credits_audit_duration_seconds", "How long the last round took.", registry=registry)
        self._counted = 0

    def alive(self) -> None:
        """Called again and again while a round runs, and between two."""
        self._beat_at = monotonic()

    def audited(self, *, entries: int, drifts: int, seconds: float) -> None:
        """Notes a complete round; `entries` and `drifts` are those since the start."""
        self._entries.inc(entries - self._counted)
        self._counted = entries
        self._drifts.set(drifts)
        self._seconds.set(seconds)
        self._last.set(time())
        self._round_at = monotonic()

    def live(self) -> str | None:
        """`/live`."""
        silent_s = monotonic() - self._beat_at
        return f"nothing has been read for {silent_s:.0f} s" if silent_s > LIVE_WITHIN_S else None

    def ready(self) -> str | None:
        """`/ready`: the first round is over and the last one was not long ago."""
        if self._round_at is None:
            return "reading the ledger for the first time"
        since_s = monotonic() - self._round_at
        return f"the last round ended {since_s:.0f} s ago" if since_s > self._patience_s else self.live()
