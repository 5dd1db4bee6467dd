"""Usage that no row prices is parked, or free and counted, as the operator decides; it never touches money or pools."""

import json
from datetime import timedelta

import msgspec
import pytest

from processor.contracts import topics
from processor.contracts.outputs import encode
from processor.domain.errors import InputRejected
from processor.domain.messages import CallUsage, ConferenceUsage
from processor.domain.tariff import Tariff
from processor.observability.metrics import Metrics
from processor.stream.partition import PartitionProcessor
from processor.stream.work import Work
from processor.testing import Input, kafka_message
from tests.unit.builders import NOW, TENANT, Meter, call, conference, funded, licences, row, tariff

NOWHERE = "+8612345678"
DAY = timedelta(days=1)
DATED = (row("44", effective_from=NOW - DAY, effective_to=NOW), row("1", country="US"))

CASES = {
    "no row of the destination": ((), call(callee=NOWHERE)),
    "no row of the destination, which a pool would pay": (
        (),
        call(callee=NOWHERE, capability="MCOPSTN2", user_country="US", user_id="ann"),
    ),
    "no row of a conference's destination": ((), conference(remote_number=NOWHERE)),
    "no inbound row of a toll-free number": (
        (),
        call(call_type="ucap_in", callee="+448001234567", number_type="service_toll_free"),
    ),
    "outbound rows only": (
        (row("1800", country="US"),),
        conference(leg_kind="dial_in_toll_free", bridge_number="+18005550100"),
    ),
    "a row that comes into force later": (DATED, call(started_at=NOW - 2 * DAY)),
    "a row that is no longer in force": (DATED, call(60, started_at=NOW)),
}


@pytest.fixture(params=CASES, ids=list(CASES))
def case(request: pytest.FixtureRequest) -> tuple[tuple, CallUsage | ConferenceUsage]:
    return CASES[request.param]


def meter(rows: tuple, **policy: str) -> Meter:
    made = Meter(*rows, **policy)
    made.apply(funded(50))
    made.apply(licences("MCOPSTN2:US:5"))
    return made


def test_by_default_it_is_parked_and_the_account_is_as_before(case):
    rows, usage = case
    made = meter(rows)
    before = msgspec.json.encode(made.account)
    with pytest.raises(InputRejected) as caught:
        made.apply(usage)
    assert caught.value.reason == "no_rate"
    assert msgspec.json.encode(made.account) == before


def test_where_it_is_free_the_ledger_says_so_and_neither_credits_nor_pools_pay(case):
    rows, usage = case
    [entry] = meter(rows, unrateable="free").apply(usage).entries
    detail = entry.usage
    assert (entry.kind, entry.amount_micros, entry.balance_micros, entry.lots) == ("charge", 0, 50_000_000, [])
    assert (detail.decision, detail.reason) == ("free", "FREECALL")
    assert (detail.prefix, detail.deck, detail.pool, detail.billed_seconds) == (None, None, None, 0)


@pytest.mark.parametrize("unrateable", ["park", "free"])
def test_a_price_in_another_currency_is_a_mismatch_and_never_free(unrateable):
    with pytest.raises(InputRejected) as caught:
        meter((row("44", currency="EUR"),), unrateable=unrateable).apply(call())
    assert caught.value.reason == "currency_mismatch"


@pytest.mark.parametrize("unrateable", ["park", "free"])
def test_usage_that_is_refused_or_free_anyway_is_not_asked_for_a_price(unrateable):
    made = meter((), unrateable=unrateable)
    for usage, reason in (
        (call(callee=NOWHERE, credits_licensed=False), "user_not_licensed"),
        (call(callee=NOWHERE, emergency=True), "emergency"),
    ):
        [entry] = made.apply(usage).entries
        assert entry.usage.reason == reason


def test_a_worker_parks_it_with_the_reason_or_counts_it():
    parked = processed(tariff())
    assert [output[0] for output in parked.outputs] == [topics.DEAD_LETTERS]
    assert dict(parked.parked) == {"no_rate": 1}
    assert parked.unrated == 0
    free = processed(tariff(unrateable="free"))
    [ledger] = [json.loads(output[3]) for output in free.outputs if output[0] == topics.LEDGER]
    assert ledger["data"]["usage"]["reason"] == "FREECALL"
    assert (free.unrated, dict(free.parked)) == (1, {})
    metrics = Metrics()
    metrics.committed(free, 0.0)
    assert metrics.registry.get_sample_value("credits_unrateable_total") == 1


def processed(prices: Tariff) -> Work:
    """What a worker makes of such a leg, before it commits."""
    record = kafka_message(Input(topics.USAGE_CALL, TENANT, encode(call(callee=NOWHERE))), 0, 0, NOW)
    processor, work = PartitionProcessor(0, 1, prices), Work(NOW)
    processor.process(topics.USAGE_CALL, [record], work)
    processor.finish(work)
    return work
