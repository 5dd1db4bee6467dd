"""Writes account commands to the meter and finds out what became of them."""

import asyncio
import hashlib
import json
import time
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, Protocol

from confluent_kafka import KafkaError, Message, Producer

from processor.console.access import Access, Principal
from processor.console.changes import ChangeSignal
from processor.console.queries import Outcome, Queries
from processor.contracts import topics

SOURCE: Final = "/communication-credits/console"
STORED_WITHIN_S: Final = 10.0


class CommandNotStoredError(Exception):
    """Kafka did not say that it has the command: it may, and asking again under the same key is safe."""


class KeyReusedError(Exception):
    """The idempotency key was used for another change."""


class Sink(Protocol):
    """Takes the record of an account command; returns when it is stored safely."""

    def __call__(self, tenant: str, value: bytes) -> None:
        """Raises `CommandNotStoredError`."""


class KafkaSink:
    """Writes to `account.commands.v1`."""

    def __init__(self, conf: dict[str, Any]) -> None:
        self._producer = Producer(
            {
                **conf,
                "partitioner": "murmur2_random",  # the one that finds the tenant's partition
                "acks": "all",  # a retry may store a command twice: it has one id, so it is applied once
                "linger.ms": 0,
                "message.timeout.ms": int(STORED_WITHIN_S * 1000),
            }
        )

    def __call__(self, tenant: str, value: bytes) -> None:
        """Stores one command."""
        answers: list[KafkaError | None] = []

        def delivered(error: KafkaError | None, _message: Message) -> None:
            answers.append(error)

        self._producer.produce(
            topics.ACCOUNT_COMMANDS,
            value,
            tenant.encode(),
            on_delivery=delivered,
            headers={"content-type": "application/cloudevents+json"},
        )
        deadline = time.monotonic() + 2 * STORED_WITHIN_S
        while not answers and time.monotonic() < deadline:
            self._producer.poll(0.05)
        if not answers or answers[0] is not None:
            raise CommandNotStoredError(answers[0].str() if answers and answers[0] else "no answer from the broker")


class Commands:
    """Asks the meter for changes on behalf of people."""

    def __init__(
        self, sink: Sink, access: Access, queries: Queries, signal: ChangeSignal, clock: Callable[[], datetime]
    ) -> None:
        self._clock = clock
        self._sink = sink
        self._access = access
        self._queries = queries
        self._signal = signal

    def ask(self, who: Principal, tenant: str, kind: str, data: dict[str, Any], key: str | None) -> str:
        """Writes the audit entry, then the command; returns its id, the same for every repetition of `key`.

        `kind` is the CloudEvents type. Raises `KeyReusedError` and `CommandNotStoredError`.
        """
        command_id = command_id_of(who, tenant, key) if key else f"console-{uuid.uuid4()}"
        details = json.dumps(data, sort_keys=True)
        if not self._access.request(who, tenant, kind, command_id, details):
            raise KeyReusedError
        if self._queries.outcome(tenant, command_id) is None:
            self._sink(tenant, _event(tenant, kind, data, command_id, self._clock()))
        return command_id

    async def outcome(self, tenant: str, command_id: str, timeout_s: float) -> Outcome | None:
        """Waits for what became of a command; None when the meter has not decided in time."""
        deadline = time.monotonic() + timeout_s
        with self._signal.watch(tenant) as watch:
            while True:
                seen = watch.count
                found = await asyncio.to_thread(self._queries.outcome, tenant, command_id)
                left = deadline - time.monotonic()
                if found is not None or left <= 0:
                    return found
                await watch.wait(seen, left)


def command_id_of(who: Principal, tenant: str, key: str) -> str:
    """Derives a command's id from an Idempotency-Key: keys of other people or about other tenants never meet."""
    digest = hashlib.sha256("\0".join((who.name, tenant, key)).encode()).hexdigest()
    return f"console-{digest[:32]}"


_FILLED: Final[dict[str, Callable[[str, str], dict[str, str]]]] = {
    "credits.funded.v1": lambda command_id, now: {"payment_reference": command_id, "purchased_at": now},
    "credits.licences.set.v1": lambda _command_id, now: {"effective_at": now},
}
"""What is filled in where the caller leaves it open; not part of the fingerprint, so a repetition may be later."""


def _event(tenant: str, kind: str, data: dict[str, Any], command_id: str, at: datetime) -> bytes:
    now = at.isoformat()
    filled = _FILLED[kind](command_id, now) if kind in _FILLED else {}
    event = {
        "specversion": "1.0",
        "id": command_id,
        "source": SOURCE,
        "type": kind,
        "subject": tenant,
        "time": now,
        "data": {"tenant_id": tenant, **filled, **data},
    }
    return json.dumps(event).encode()
