"""The simulator's usage is reproducible, decodable, rateable and distributed as promised."""

import threading
from collections import Counter
from datetime import UTC, datetime
from itertools import islice

import pytest

from processor.contracts import topics
from processor.contracts.inputs import decode
from processor.domain.account import Account
from processor.domain.messages import AutopaySet, CallUsage, ConferenceUsage, Funded, LicencesSet
from processor.domain.metering import apply
from processor.domain.policy import Policy
from processor.domain.tariff import Deck, Row, Tariff
from processor.simulator.accounts import Opening, openings
from processor.simulator.emit import Emitter
from processor.simulator.population import number_under, tenant_weights
from processor.simulator.usage import Emitted, Plan, usage

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def row(prefix: str, country: str, **more: object) -> Row:
    fields = {"destination": country, "type": "geographic", "rate_micros_per_min": 20_000, **more}
    return Row(prefix=prefix, country=country, **fields)  # type: ignore[arg-type]


OUTBOUND = [row("1212", "US"), row("44", "GB"), row("447", "GB"), row("49", "DE"), row("376", "AD"), row("993", "TM")]
INBOUND = [
    row("1800", "US", direction="inbound", type="toll_free"),
    row("44800", "GB", direction="inbound", type="toll_free"),
]
ROWS = [*OUTBOUND, *INBOUND]


def emitted(count: int, plan: Plan, rows: list[Row] = ROWS) -> list[Emitted]:
    return list(islice(usage(plan, rows, lambda: NOW), count))


def messages(events: list[Emitted]) -> list[CallUsage | ConferenceUsage]:
    found = []
    for event in events:
        message = decode(event.topic, event.value)
        assert isinstance(message, CallUsage | ConferenceUsage)
        found.append(message)
    return found


def test_the_same_seed_run_and_clock_give_the_same_bytes() -> None:
    plan = Plan(run="r", seed=7, tenants=50, duplicates=0.1)
    assert emitted(2000, plan) == emitted(2000, plan)
    assert emitted(2000, plan) != emitted(2000, Plan(run="r", seed=8, tenants=50, duplicates=0.1))


def test_another_run_is_other_usage_even_with_the_same_seed() -> None:
    first = {(m.source, m.id) for m in messages(emitted(500, Plan(run="a")))}
    second = {(m.source, m.id) for m in messages(emitted(500, Plan(run="b")))}
    assert not first & second


def test_every_event_decodes_is_keyed_by_its_tenant_and_is_applied_by_the_meter() -> None:
    tariff = Tariff([Deck("d", "1", tuple(ROWS))], Policy(deduplication=Policy().deduplication))
    events = emitted(5000, Plan(run="r", tenants=100, duplicates=0))
    reasons: Counter[str] = Counter()
    for event, message in zip(events, messages(events), strict=True):
        assert event.key == message.data.tenant_id.encode()
        assert message.subject == message.data.tenant_id
        outcome = apply(Account(tenant_id=message.data.tenant_id, currency="USD"), message, tariff, NOW)
        assert outcome.entries[0].usage is not None
        reasons[outcome.entries[0].usage.reason] += 1
    assert reasons.keys() == {
        "pay_as_you_go",
        "pool_used_up",
        "international",
        "uk_shared_cost",
        "destination_not_allowed",
        "toll_free_inbound",
        "conference_pool_used_up",
        "conference_dial_out",
        "inbound_to_user",
        "toll_inbound",
        "direct_routing",
        "user_not_licensed",
        "emergency",
    }
    assert 0.4 < (reasons["pay_as_you_go"] + reasons["pool_used_up"] + reasons["international"]) / 5000 < 0.7


def test_without_inbound_rates_nothing_toll_free_is_sent() -> None:
    found = messages(emitted(2000, Plan(run="r"), OUTBOUND))
    kinds = {m.data.call_type if isinstance(m, CallUsage) else m.data.leg_kind for m in found}
    assert not kinds & {"ucap_in", "dial_in_toll_free"}
    assert {"user_out", "dial_out", "user_in"} <= kinds


def test_repetitions_are_exact_marked_and_as_frequent_as_asked() -> None:
    events = emitted(20_000, Plan(run="r", duplicates=0.2))
    seen: set[bytes] = set()
    for event in events:
        assert event.unique == (event.value not in seen)
        seen.add(event.value)
    assert 0.18 < 1 - len(seen) / len(events) < 0.22


def test_popular_countries_get_most_of_the_calls() -> None:
    called = [
        m.data.callee
        for m in messages(emitted(20_000, Plan(run="r", tenants=5)))
        if isinstance(m, CallUsage) and m.data.call_type == "user_out"
    ]
    share = Counter(number[1:3] for number in called)
    assert share["12"] > share["44"] > share["49"] > share["37"] > 0


@pytest.mark.parametrize(("prefix", "lengths"), [("1212", {11}), ("44", {11, 12, 13}), ("123456789012", {13})])
def test_numbers_are_completed_to_a_plausible_length(prefix: str, lengths: set[int]) -> None:
    from random import Random

    rng = Random(1)
    numbers = [number_under(row(prefix, "US"), rng) for _ in range(300)]
    assert {len(number) - 1 for number in numbers} == lengths
    assert all(number.startswith(f"+{prefix}") and number[1:].isdigit() for number in numbers)


def test_skewed_tenants_have_a_first_with_35_and_first_ten_with_90_per_cent() -> None:
    weights = tenant_weights(1000, skew=True)
    assert weights[0] / weights[-1] == pytest.approx(0.35)
    assert weights[9] / weights[-1] == pytest.approx(0.90)
    counts = Counter(event.key for event in emitted(20_000, Plan(run="r", tenants=1000, skew=True, duplicates=0)))
    assert counts.most_common(1)[0][0] == b"tenant-00001"
    assert 0.33 < counts[b"tenant-00001"] / 20_000 < 0.37


@pytest.mark.parametrize("count", [1, 2, 10, 11])
def test_small_skewed_populations_have_increasing_weights(count: int) -> None:
    weights = tenant_weights(count, skew=True)
    assert len(weights) == count
    assert weights == sorted(weights)


def test_durations_are_log_normal_with_a_long_tail() -> None:
    lengths = sorted(
        m.data.connected_ms for m in messages(emitted(10_000, Plan(run="r", duplicates=0))) if isinstance(m, CallUsage)
    )
    median, high = lengths[len(lengths) // 2], lengths[int(len(lengths) * 0.99)]
    assert 80_000 < median < 110_000
    assert high > 8 * median
    assert lengths[-1] <= 4 * 3600 * 1000


def test_decks_that_price_nothing_now_are_an_error() -> None:
    with pytest.raises(ValueError, match="outbound row in EUR"):
        next(usage(Plan(run="r", currency="EUR"), ROWS))


@pytest.mark.parametrize("wrong", [{"duplicates": 1.0}, {"duplicates": -0.1}, {"tenants": 0}])
def test_impossible_plans_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Plan(run="r", **wrong)  # type: ignore[arg-type]


def test_accounts_open_with_licences_money_and_then_auto_pay() -> None:
    records = list(openings(Plan(run="r", tenants=3), Opening(), lambda: NOW))
    assert [record.key for record in records] == [
        f"tenant-0000{number}".encode() for number in (1, 1, 1, 2, 2, 2, 3, 3, 3)
    ]
    tariff = Tariff([])
    account = Account(tenant_id="tenant-00001", currency="USD")
    for record, kind in zip(records[:3], (LicencesSet, Funded, AutopaySet), strict=True):
        message = decode(topics.ACCOUNT_COMMANDS, record.value)
        assert isinstance(message, kind)
        assert not apply(account, message, tariff, NOW).notices
    assert len(account.licences) == 1
    assert account.balance_micros == 50_000_000
    assert account.autopay is not None
    assert account.autopay.trigger_micros == 20_000_000


def test_an_emitter_without_a_broker_stops_when_asked_and_reports_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processor.simulator.emit.FLUSH_S", 0.05)
    stop = threading.Event()
    emitter = Emitter({"bootstrap.servers": "127.0.0.1:1", "log_level": 0})
    threading.Timer(0.3, stop.set).start()
    counts = emitter.run(usage(Plan(run="r"), ROWS), stop, rate=200)
    assert counts.sent > 0
    assert counts.acknowledged == 0
    assert counts.failed == counts.sent
    assert counts.last_error
