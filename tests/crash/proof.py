"""The proof that nothing was lost and nothing doubled, from the committed topics alone."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import orjson
from confluent_kafka import Message

from processor.cli.reading import read_committed
from processor.contracts.topics import DEAD_LETTERS, RECHARGE_RESULTS
from processor.stream.dead_letters import PREFIX
from tests.crash.platform import PAYMENT_MICROS, Expected
from tests.crash.workers import read_until

Credited = dict[str, tuple[str, int]]
"""Event id of a payment result -> tenant and the micros that the ledger has for it."""


def documents(bootstrap: str, topic: str) -> Iterator[dict[str, Any]]:
    """Reads every committed JSON record of a topic."""
    record: Message
    for record in read_committed({"bootstrap.servers": bootstrap}, topic):
        yield orjson.loads(record.value())


def prove(bootstrap: str, expected: Expected, *, parked: int = 0) -> None:
    """Asserts that ledger, balances and recharges are exactly what the input demands."""
    balances, credited = _prove_ledger(bootstrap, expected)
    _prove_state(bootstrap, balances)
    _prove_recharges(bootstrap, balances, credited)
    assert sum(1 for _ in read_committed({"bootstrap.servers": bootstrap}, "dead.letters.v1")) == parked


def _prove_ledger(bootstrap: str, expected: Expected) -> tuple[dict[str, tuple[int, int]], Credited]:
    """Returns balance and revision of every tenant, and what was credited for payments."""
    charged: Counter[str] = Counter()
    revisions: dict[str, int] = defaultdict(int)
    balances: dict[str, int] = defaultdict(int)
    spent: Counter[str] = Counter()
    paid_in: Counter[tuple[str, str]] = Counter()
    credited: Credited = {}
    for event in documents(bootstrap, "ledger.v1"):
        entry = event["data"]
        tenant, amount = entry["tenant_id"], entry["amount_micros"]
        revisions[tenant] += 1
        assert entry["revision"] == revisions[tenant], f"{tenant}: a revision is missing or repeated"
        balances[tenant] += amount
        assert entry["balance_micros"] == balances[tenant], f"{tenant}: the balance does not follow from the one before"
        if entry["kind"] == "charge":
            charged[entry["event_id"]] += 1
            assert expected.usage[entry["event_id"]] == (tenant, -amount)
            spent[tenant] -= amount
        else:
            paid_in[tenant, entry["kind"]] += amount
            if entry["kind"] == "recharge":
                assert entry["event_id"] not in credited, f"{tenant}: a payment is credited twice"
                credited[entry["event_id"]] = tenant, amount
    doubled = [event_id for event_id, times in charged.items() if times > 1]
    lost = expected.usage.keys() - charged.keys()
    assert not doubled, f"{len(doubled)} events were charged more than once"
    assert not lost, f"{len(lost)} events were never charged"
    assert spent == expected.spent()
    assert Counter({t: paid_in[t, "fund"] for t, _ in list(paid_in)}) == expected.funded
    return {tenant: (balances[tenant], revisions[tenant]) for tenant in balances}, credited


def _prove_state(bootstrap: str, balances: dict[str, tuple[int, int]]) -> None:
    state = {account["tenant_id"]: account for account in documents(bootstrap, "account.state.v1")}
    found = {tenant: (account["balance_micros"], account["revision"]) for tenant, account in state.items()}
    assert found == balances, "the balance table differs from the fold of the ledger"


def _prove_recharges(bootstrap: str, balances: dict[str, tuple[int, int]], credited: Credited) -> None:
    asked = _asked(bootstrap)
    taken = _taken(bootstrap)
    assert {event_id: (tenant, amount) for event_id, (tenant, _, amount) in taken.items()} == credited, (
        "the ledger's recharges are not what the provider took"
    )
    paid = [recharge_id for _, recharge_id, _ in taken.values()]
    assert len(set(paid)) == len(paid), "a recharge was paid for twice"
    assert {recharge_id: amount for _, recharge_id, amount in taken.values()}.items() <= asked.items()
    decided = Counter(tenant for tenant, _ in credited.values())
    decided += Counter(
        event["data"]["tenant_id"]
        for event in documents(bootstrap, "notifications.v1")
        if event["data"]["kind"] == "recharge.failed"
    )
    sequences = Counter(recharge_id.rpartition(":")[0] for recharge_id in asked)
    for tenant in balances:
        assert 0 <= sequences[tenant] - decided[tenant] <= 1, f"{tenant}: more than one recharge is in flight"


def _asked(bootstrap: str) -> dict[str, int]:
    """Returns the amount of every recharge that was asked for; asserts that their numbers have no hole."""
    sequences: Counter[str] = Counter()
    asked: dict[str, int] = {}
    for event in documents(bootstrap, "recharge.commands.v1"):
        command = event["data"]
        tenant = command["tenant_id"]
        assert command["amount_micros"] == PAYMENT_MICROS
        if command["attempt"] > 1:
            assert command["recharge_id"] == f"{tenant}:{sequences[tenant]}", "an older recharge is asked for again"
            continue
        sequences[tenant] += 1
        assert command["recharge_id"] == f"{tenant}:{sequences[tenant]}", "a recharge id is repeated or skipped"
        asked[command["recharge_id"]] = command["amount_micros"]
    return asked


def _taken(bootstrap: str) -> dict[str, tuple[str, str, int]]:
    """Returns what the provider says it took, by the event id of its result: tenant, recharge id and micros.

    A result behind the meter's committed offset is of a payment that is in flight; what is parked credits nothing.
    """
    read, parked = read_until(bootstrap), _parked_results(bootstrap)
    taken: dict[str, tuple[str, str, int]] = {}
    record: Message
    for record in read_committed({"bootstrap.servers": bootstrap}, RECHARGE_RESULTS):
        if (record.partition(), record.offset()) in parked:
            continue
        event = orjson.loads(record.value())
        result = event["data"]
        if result["status"] == "succeeded" and record.offset() < read[RECHARGE_RESULTS, record.partition()]:
            said = result["tenant_id"], result["recharge_id"], result["amount_micros"]
            assert taken.setdefault(event["id"], said) == said, "the provider contradicts itself"
    return taken


def _parked_results(bootstrap: str) -> set[tuple[int, int]]:
    """Returns partition and offset of the results that lie in the dead letters, whose number `prove` knows."""
    places = set()
    record: Message
    for record in read_committed({"bootstrap.servers": bootstrap}, DEAD_LETTERS):
        noted = dict(record.headers() or [])
        if noted[PREFIX + "topic"].decode() == RECHARGE_RESULTS:
            places.add((int(noted[PREFIX + "partition"]), int(noted[PREFIX + "offset"])))
    return places
