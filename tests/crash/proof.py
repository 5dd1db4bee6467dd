"""The proof that nothing was lost and nothing doubled, from the committed topics alone."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import orjson
from confluent_kafka import Message

from processor.cli.reading import read_committed
from tests.crash.platform import PAYMENT_MICROS, Expected


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


def _prove_ledger(bootstrap: str, expected: Expected) -> tuple[dict[str, tuple[int, int]], Counter[str]]:
    """Returns balance and revision of every tenant, and how many recharges were credited to each."""
    charged: Counter[str] = Counter()
    revisions: dict[str, int] = defaultdict(int)
    balances: dict[str, int] = defaultdict(int)
    spent: Counter[str] = Counter()
    paid_in: Counter[tuple[str, str]] = Counter()
    recharged: Counter[str] = Counter()
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
            recharged[tenant] += entry["kind"] == "recharge"
    doubled = [event_id for event_id, times in charged.items() if times > 1]
    lost = expected.usage.keys() - charged.keys()
    assert not doubled, f"{len(doubled)} events were charged more than once"
    assert not lost, f"{len(lost)} events were never charged"
    assert spent == expected.spent()
    assert Counter({t: paid_in[t, "fund"] for t, _ in list(paid_in)}) == expected.funded
    return {tenant: (balances[tenant], revisions[tenant]) for tenant in balances}, recharged


def _prove_state(bootstrap: str, balances: dict[str, tuple[int, int]]) -> None:
    state = {account["tenant_id"]: account for account in documents(bootstrap, "account.state.v1")}
    found = {tenant: (account["balance_micros"], account["revision"]) for tenant, account in state.items()}
    assert found == balances, "the balance table differs from the fold of the ledger"


def _prove_recharges(bootstrap: str, balances: dict[str, tuple[int, int]], credited: Counter[str]) -> None:
    sequences: dict[str, int] = defaultdict(int)
    commands = 0
    for event in documents(bootstrap, "recharge.commands.v1"):
        asked = event["data"]
        tenant = asked["tenant_id"]
        if asked["attempt"] > 1:
            assert asked["recharge_id"] == f"{tenant}:{sequences[tenant]}", "an older recharge is asked for again"
            continue
        sequences[tenant] += 1
        commands += 1
        assert asked["recharge_id"] == f"{tenant}:{sequences[tenant]}", "a recharge id is repeated or skipped"
        assert asked["amount_micros"] == PAYMENT_MICROS
    failed = Counter(
        event["data"]["tenant_id"]
        for event in documents(bootstrap, "notifications.v1")
        if event["data"]["kind"] == "recharge.failed"
    )
    for tenant in balances:
        undecided = sequences[tenant] - credited[tenant] - failed[tenant]
        assert 0 <= undecided <= 1, f"{tenant}: more than one recharge is in flight"
    assert sum(credited.values()) <= commands
