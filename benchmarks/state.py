"""Writes the state of a meter straight to its changelogs, as if years of usage had made it: accounts and event ids.

A worker that starts then recovers it. Millions of accounts are written in a minute because all but a few are copies of
others under another name.
"""

import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import load

from processor.contracts import outputs, topics
from processor.domain.account import Account, Autopay, Lot
from processor.stream.id_runs import ID_BYTES

FUNDED_MICROS = 50_000_000
TRIGGER_MICROS = 20_000_000
MODELS = 1000
"""Accounts that differ in more than their name."""
NAME = b"tenant-?"
IDS_PER_CYCLE = 1000
DEDUPLICATION = timedelta(days=35)


def produce_accounts(brokers: str, names: Iterable[str]) -> None:
    """Writes one record per account, as the meter does: each was funded once, none has a payment due."""
    models = [outputs.encode(_account(NAME.decode(), number)) for number in range(MODELS)]
    producer = load.producer(brokers, **load.BULK)
    for at, name in enumerate(names):
        key = name.encode()
        load.send(producer, topics.ACCOUNT_STATE, models[at % MODELS].replace(NAME, key), key)
    assert not producer.flush(60)


def produce_ids(brokers: str, count: int, partitions: int) -> None:
    """Writes the ids of many cycles, packed; they are spread over the days that ids are remembered for."""
    producer = load.producer(brokers, **load.BULK)
    now_ms, window_ms = int(datetime.now(UTC).timestamp() * 1000), DEDUPLICATION.total_seconds() * 1000
    for number, at in enumerate(range(0, count, IDS_PER_CYCLE)):
        packed = random.randbytes(ID_BYTES * min(IDS_PER_CYCLE, count - at))
        at_ms = now_ms - int(window_ms * (1 - at / count))
        load.send(producer, topics.EVENT_IDS, packed, None, number % partitions, at_ms)
    assert not producer.flush(60)


def _account(name: str, revision: int) -> Account:
    purchased_at = datetime.now(UTC) - timedelta(days=90)
    micros = random.randrange(TRIGGER_MICROS + 1, FUNDED_MICROS)
    lot = Lot(
        lot_id=f"{name}:1",
        purchased_at=purchased_at,
        expires_at=purchased_at + timedelta(days=365),
        amount_micros=FUNDED_MICROS,
        remaining_micros=micros,
    )
    autopay = Autopay(
        enabled=True,
        payment_amount_micros=FUNDED_MICROS,
        trigger_micros=TRIGGER_MICROS,
        payment_method_ref="card-1",
        set_by="command-1",
    )
    return Account(
        tenant_id=name,
        currency="USD",
        revision=revision,
        balance_micros=micros,
        credited_micros=FUNDED_MICROS,
        debited_micros=FUNDED_MICROS - micros,
        lots=[lot],
        autopay=autopay,
    )
