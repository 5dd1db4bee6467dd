"""A payment provider that remembers what it charged, declines, dawdles and loses its caller on demand.

Its memory stands for the provider's own books: it is a SQLite file so that it outlives a killed worker, and several
workers may share it. The decision about a charge depends on the seed and the recharge id alone.
"""

import os
import sqlite3
import threading
import time
from datetime import UTC, datetime
from random import Random
from typing import Final, cast

from msgspec import Struct

from processor.payments.declines import is_retryable
from processor.payments.provider import Charge, Decision, ProviderTimeout, Status
from processor.sqlite import write_ahead

CRASHED: Final = 137
"""Exit code of a worker that the provider lets die after a charge: that of a process killed by SIGKILL."""

CONFLICT: Final = "idempotency_key_reused"

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS charges (
    recharge_id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL, amount_micros INTEGER NOT NULL, currency TEXT NOT NULL,
    payment_method_ref TEXT NOT NULL, status TEXT NOT NULL, reference TEXT, reason_code TEXT,
    decided_at TEXT NOT NULL, asked INTEGER NOT NULL DEFAULT 0
) STRICT
"""
_INSERT: Final = """
INSERT INTO charges
    (recharge_id, tenant_id, amount_micros, currency, payment_method_ref, status, reference, reason_code, decided_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (recharge_id) DO NOTHING
"""
_ASKED: Final = """
UPDATE charges SET asked = asked + 1 WHERE recharge_id = ?
RETURNING tenant_id, amount_micros, currency, status, reference, reason_code, decided_at
"""


class Behaviour(Struct, frozen=True, kw_only=True):
    """How the simulated provider behaves; rates are probabilities per recharge id.

    `decline_codes` are drawn from evenly. A lost answer is a timeout after the charge: the first question about an id
    has no answer, the second is told what happened.
    """

    latency_s: float = 0.15
    decline_rate: float = 0.0
    decline_codes: tuple[str, ...] = ("card_declined",)
    crash_after_charge: float = 0.0
    lost_answers: float = 0.0
    seed: int = 1


class SimulatedProvider:
    """Keeps one row per recharge id: the key charges once, and every repetition gets the remembered answer."""

    name = "simulated"

    def __init__(self, path: str = ":memory:", behaviour: Behaviour | None = None) -> None:
        self._behaviour = behaviour or Behaviour()
        self._lock = threading.Lock()
        self._books = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=30)
        write_ahead(self._books, "NORMAL")
        self._books.execute(_SCHEMA)

    def charge(self, charge: Charge) -> Decision:
        """Answers after the latency; a key that comes back with another amount is refused as a caller's mistake."""
        behaviour = self._behaviour
        if behaviour.latency_s:
            drawn_s = Random().expovariate(1 / behaviour.latency_s)  # noqa: S311 - a simulation
            time.sleep(min(drawn_s, 10 * behaviour.latency_s))
        dice = Random(f"{behaviour.seed}:{charge.recharge_id}")  # noqa: S311
        declined = dice.random() < behaviour.decline_rate
        crash, lost = dice.random() < behaviour.crash_after_charge, dice.random() < behaviour.lost_answers
        code = dice.choice(behaviour.decline_codes) if declined else None
        decision, is_new = self._remember(charge, code)
        if is_new and crash:
            os._exit(CRASHED)
        if is_new and lost:
            raise ProviderTimeout(f"the answer to {charge.recharge_id} was lost")
        return decision

    def charges(self) -> list[tuple[str, Status, int, int]]:
        """Lists the books: recharge id, status, amount in micros and how often it was asked for."""
        with self._lock:
            rows = self._books.execute(
                "SELECT recharge_id, status, amount_micros, asked FROM charges ORDER BY rowid"
            ).fetchall()
        return cast("list[tuple[str, Status, int, int]]", rows)

    def close(self) -> None:
        """Closes the books."""
        with self._lock:
            self._books.close()

    def _remember(self, charge: Charge, decline_code: str | None) -> tuple[Decision, bool]:
        status: Status = "declined" if decline_code else "succeeded"
        values = (
            charge.recharge_id,
            charge.tenant_id,
            charge.amount_micros,
            charge.currency,
            charge.payment_method_ref,
            status,
            None if decline_code else f"sim-{charge.recharge_id}",
            decline_code,
            datetime.now(UTC).isoformat(),
        )
        with self._lock:
            is_new = self._books.execute(_INSERT, values).rowcount == 1
            tenant, amount, currency, was, reference, reason, at = self._books.execute(
                _ASKED, (charge.recharge_id,)
            ).fetchone()
        decided_at = datetime.fromisoformat(at)
        if (tenant, amount, currency) != (charge.tenant_id, charge.amount_micros, charge.currency):
            return Decision(status="failed", decided_at=decided_at, reason_code=CONFLICT), False
        decision = Decision(
            status=was, decided_at=decided_at, reference=reference, reason_code=reason, retryable=is_retryable(reason)
        )
        return decision, is_new
