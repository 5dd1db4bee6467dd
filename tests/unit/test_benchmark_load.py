"""The benchmark's load is what the contract describes, and its oracle is right."""

from collections import Counter
from datetime import UTC, datetime

import pytest

from benchmarks import load
from processor.contracts import decks, topics
from processor.contracts.inputs import decode
from processor.domain.account import Account
from processor.domain.metering import apply
from processor.domain.tariff import Tariff


def make(*, tenants: int = 20, skew: bool = False) -> load.Events:
    now = datetime.now(UTC)
    return load.Events(load.deck(), tenants, now - load.WINDOW, load.WINDOW / 10_000, skew=skew)


def test_every_record_decodes_and_has_the_size_of_an_ordinary_event():
    events = make()
    for _ in range(200):
        tenant, event_id, record = events.next()
        message = decode(topics.USAGE_CALL, record)
        assert (message.id, message.subject, message.data.tenant_id) == (event_id, tenant, tenant)
        assert 500 <= len(record) <= 580


def test_the_oracle_agrees_with_the_meter_to_the_micro(tmp_path):
    load.write_deck(load.deck(), tmp_path / "deck.csv")
    tariff = Tariff(decks.load_decks([tmp_path / "deck.csv"]))
    events = make()
    accounts = {tenant: Account(tenant_id=tenant, currency="USD") for tenant in events.names}
    for _ in range(2000):
        tenant, _, record = events.next()
        apply(accounts[tenant], decode(topics.USAGE_CALL, record), tariff, datetime.now(UTC))
    assert {tenant: account.debited_micros for tenant, account in accounts.items()} == events.charged
    assert min(events.charged.values()) > 0


def test_the_content_depends_on_the_seed_alone():
    one, other = make(), make()
    for _ in range(100):
        first, second = (decode(topics.USAGE_CALL, events.next()[2]) for events in (one, other))
        assert (first.id, first.data.callee, first.data.connected_ms) == (
            second.id,
            second.data.callee,
            second.data.connected_ms,
        )
    assert one.charged == other.charged


@pytest.mark.parametrize(("skew", "first", "ten"), [(False, 0.0005, 0.005), (True, 0.35, 0.90)])
def test_the_mix_of_tenants(skew, first, ten):
    events = make(tenants=2000, skew=skew)
    counted = Counter(events.next()[0] for _ in range(20_000)).most_common(10)
    assert counted[0][1] / 20_000 == pytest.approx(first, abs=0.02)
    assert sum(count for _, count in counted) / 20_000 == pytest.approx(ten, abs=0.02)


def test_the_deck_has_the_size_of_a_real_one_and_a_price_for_every_number():
    prices = load.deck()
    assert 6500 < len(prices) < 6700
    assert all(load.longest_prefix(prices, f"{digit}9999999999") for digit in range(1, 10))


@pytest.mark.parametrize("rows", [load.ROWS, 10_000, 200_000])
def test_a_larger_deck_has_exactly_its_rows_and_a_price_for_every_number(rows):
    prices = load.deck(rows)
    assert len(prices) == rows
    assert {len(prefix) for prefix in prices} == set(range(1, 9))
    assert all(str(digit) in prices for digit in range(1, 10))
