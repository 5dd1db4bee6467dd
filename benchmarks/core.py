"""`make bench-core`: the pure core, stage by stage, in microseconds of CPU per event; nothing of Kafka, one core.

The legs are those of the throughput benchmark, with the whole tariff on: half of them are paid by credits, half draw on
the pools of a plan or of conferencing. Each stage is the best of several passes over the same legs.
"""

import gc
import random
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import process_time
from typing import Any

import click
import decks
import load
import runs

from processor.contracts import topics
from processor.contracts.decks import load_decks
from processor.contracts.inputs import decode, identity
from processor.contracts.outputs import encode, entry_record
from processor.domain.account import Account, debit
from processor.domain.corrections import Allocation
from processor.domain.coverage import cover_leg
from processor.domain.messages import CallUsage, Licence, LicencesSet, LicencesSetData
from processor.domain.metering import apply
from processor.domain.policy import Policy
from processor.domain.pools import PoolUse
from processor.domain.tariff import Tariff
from processor.domain.usage import leg_of

TENANTS = 2000
PASSES = 5
DECK_SIZES = (10_000, 1_000_000)


class NoMemory:
    """The benchmark corrects nothing, and nobody in it has minutes of their own."""

    def original(self, source: str, event_id: str) -> Allocation | None:
        """Knows no event."""
        raise LookupError(source, event_id)

    def own_pools(self, tenant_id: str, user_id: str) -> list[PoolUse]:
        """Knows no user."""
        raise LookupError(tenant_id, user_id)


@click.command()
@click.option("--events", type=click.IntRange(100), default=50_000, show_default=True)
@click.option("--record/--no-record", default=True, show_default=True, help=f"Append to {runs.DIRECTORY.name}/.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(events: int, record: bool, as_json: bool) -> None:
    """Measure the core on this machine and compare with its last recorded run."""
    gc.set_threshold(100_000, 10, 1000)  # as the worker sets it
    with tempfile.TemporaryDirectory(prefix="credits-bench-") as name:
        prices = load.deck()
        path = Path(name) / "deck.csv"
        load.write_deck(prices, path)
        tariff = Tariff(load_decks([path], "USD"), Policy())
        cases = {"plain": stages(tariff, _values(prices, events)), "pooled": stages(tariff, _values(prices, events), 2)}
        cases["deck"] = {f"find_us_{size}": _find_us(Path(name), size) for size in DECK_SIZES}
    run = runs.new_run(cases, {"events": events}, "core")
    runs.finish(run, record=record, as_json=as_json)


def stages(tariff: Tariff, values: Sequence[bytes], pooled_every: int = 0) -> runs.Figures:
    """Times every stage for itself, and `apply` as a whole; every `pooled_every`th leg has a calling plan."""
    now = datetime.now(UTC)
    messages = [decode(topics.USAGE_CALL, value, dict) for value in values]
    assert all(isinstance(message, CallUsage) for message in messages)
    for message in messages[::pooled_every] if pooled_every else []:
        message.data.capability, message.data.user_country = "MCOPSTN1", "GB"
    legs = [leg_of(message, tariff.policy, now) for message in messages]
    rows = [tariff.find(leg.number, leg.direction, "USD", leg.started_at) for leg in legs]
    assert len(rows) == len(legs)
    applied = _applied(messages, tariff, now)
    entries = [outcome.entries[-1] for outcome in applied()]
    accounts = list(_accounts(messages, tariff, now).values())
    return {
        "decode_us": _us(lambda: [decode(topics.USAGE_CALL, value, dict) for value in values], len(values)),
        "identity_us": _us(lambda: [identity(m.source, m.id) for m in messages], len(values)),
        "leg_us": _us(lambda: [leg_of(message, tariff.policy, now) for message in messages], len(values)),
        "cover_us": _us(lambda: [cover_leg(leg) for leg in legs], len(values)),
        "rate_us": _us(
            lambda: [tariff.find(leg.number, leg.direction, "USD", leg.started_at) for leg in legs], len(values)
        ),
        "debit_us": _us(lambda: [debit(account, 1) for account in accounts], len(accounts)),
        "apply_us": _us(applied, len(values)),
        "encode_entry_us": _us(lambda: [entry_record(entry) for entry in entries], len(values)),
        "encode_account_us": _us(lambda: [encode(account) for account in accounts], len(accounts)),
    }


def _values(prices: load.Prices, count: int) -> list[bytes]:
    step = load.WINDOW / count
    events = load.Events(prices, TENANTS, datetime.now(UTC) - load.WINDOW, step, skew=False, seed=1)
    return [events.next()[2] for _ in range(count)]


def _accounts(messages: Sequence[Any], tariff: Tariff, now: datetime) -> dict[str, Account]:
    """Every tenant with licences of a calling plan that last for as long as the benchmark."""
    licences = [Licence(capability="MCOPSTN1", country="GB", count=1_000_000)]
    accounts = {}
    for tenant in {message.data.tenant_id for message in messages}:
        account = accounts[tenant] = Account(tenant_id=tenant, currency="USD")
        data = LicencesSetData(tenant_id=tenant, licences=licences, effective_at=now - timedelta(days=60))
        apply(account, LicencesSet(specversion="1.0", id="licences", source="/benchmarks", data=data), tariff, now)
    return accounts


def _applied(messages: Sequence[Any], tariff: Tariff, now: datetime) -> Callable[[], list[Any]]:
    accounts, memory = _accounts(messages, tariff, now), NoMemory()
    return lambda: [apply(accounts[m.data.tenant_id], m, tariff, now, memory) for m in messages]


def _us(run: Callable[[], object], count: int) -> float:
    best = float("inf")
    for _ in range(PASSES):
        gc.collect()
        started = process_time()
        run()
        best = min(best, process_time() - started)
    return round(best / count * 1e6, 2)


def _find_us(directory: Path, size: int) -> float:
    pick = random.Random(7)
    path = directory / f"{size}.csv"
    prefixes = decks.write_deck(path, size, pick)
    return round(decks.find_us(Tariff(load_decks([path], "USD"), Policy()), prefixes, pick), 2)


if __name__ == "__main__":
    main()
