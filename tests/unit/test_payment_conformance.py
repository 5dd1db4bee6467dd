"""The conformance kit asks the same of every seed, and its verdict names each rule that a worker breaks."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from msgspec import structs

from processor.payments.batch import result_record
from processor.payments.conformance.plan import Plan, make
from processor.payments.conformance.verdict import Observed, Record, judge
from processor.payments.provider import Charge, Decision

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PLAN = make("run", 1, 4, 5, 3, "card-1", NOW)
PLACES = {each.tenant_id: 3 for each in PLAN.wanted.values()}


def record(recharge_id: str, **changed: object) -> Record:
    command = PLAN.wanted.get(recharge_id) or next(each for each in PLAN.aborted if each.recharge_id == recharge_id)
    status = changed.pop("status", "succeeded")
    charge = Charge(
        recharge_id=recharge_id,
        tenant_id=command.tenant_id,
        amount_micros=command.amount_micros,
        currency=command.currency,
        payment_method_ref="card-1",
        requested_at=command.requested_at,
    )
    decision = Decision(status=status, decided_at=NOW)  # type: ignore[arg-type]
    value = result_record(structs.replace(charge, **changed), decision, "test")
    return Record(partition=3, offset=0, key=command.tenant_id.encode(), value=value)


GOOD = Observed(
    records=[record(recharge_id) for recharge_id in PLAN.wanted],
    places=PLACES,
    open_transaction=False,
    exit_code=0,
    book=list(PLAN.wanted),
)
SOME = next(iter(PLAN.wanted))


def broken(seen: Observed) -> dict[str, list[str]]:
    return {check.name: check.problems for check in judge(PLAN, seen) if not check.holds}


def test_a_good_worker_breaks_nothing_and_the_book_is_optional() -> None:
    assert broken(GOOD) == {}
    assert len(judge(PLAN, GOOD)) == len(judge(PLAN, structs.replace(GOOD, book=None))) + 1 == 9


@pytest.mark.parametrize(
    ("change", "check", "says"),
    [
        (lambda: {"records": GOOD.records[1:], "book": GOOD.book[1:]}, "answered", f"{SOME}: none"),  # type: ignore[index]
        (lambda: {"records": [*GOOD.records, record(SOME)]}, "once", f"{SOME}: 2 results"),
        (
            lambda: {"records": [*GOOD.records, record(SOME, status="failed")]},
            "once",
            f"{SOME}: 2 results that differ (failed, succeeded)",
        ),
        (
            lambda: {"records": [*GOOD.records, record(PLAN.aborted[0].recharge_id, status="failed")]},
            "known",
            f"{PLAN.aborted[0].recharge_id}: its command was in an aborted transaction",
        ),
        (
            lambda: {"records": [record(SOME, currency="GBP"), *GOOD.records[1:]]},
            "echoed",
            f"{SOME}: currency is GBP, was {PLAN.wanted[SOME].currency}",
        ),
        (
            lambda: {"records": [*GOOD.records, Record(partition=1, offset=9, key=b"x", value=b"{}")]},
            "valid",
            "partition 1, offset 9: schema_invalid",
        ),
        (
            lambda: {"records": [structs.replace(GOOD.records[0], key=None), *GOOD.records[1:]]},
            "placed",
            f"{SOME}: the key is None",
        ),
        (
            lambda: {"records": [structs.replace(GOOD.records[0], partition=5), *GOOD.records[1:]]},
            "placed",
            f"{SOME}: in partition 5, not 3",
        ),
        (lambda: {"open_transaction": True}, "committed", "a transaction was left open"),
        (lambda: {"exit_code": None}, "stopped", "it had to be killed"),
        (lambda: {"exit_code": 70}, "stopped", "its exit code is 70"),
        (lambda: {"book": [*GOOD.book, SOME]}, "charged", f"{SOME}: charged 2 times"),  # type: ignore[misc]
        (lambda: {"book": GOOD.book[1:]}, "charged", f"{SOME}: a success without a charge"),  # type: ignore[index]
    ],
)
def test_each_broken_rule_is_named_with_what_broke_it(
    change: Callable[[], dict[str, object]], check: str, says: str
) -> None:
    found = broken(structs.replace(GOOD, **change()))
    assert list(found) == [check]
    assert found[check][0].startswith(says)


def test_a_plan_is_drawn_from_its_seed_and_asks_in_disorder_with_repetitions() -> None:
    assert make("run", 1, 4, 5, 3, "card-1", NOW) == PLAN != make("run", 2, 4, 5, 3, "card-1", NOW)
    written = [each for part in PLAN.rounds for each in part]
    assert len(PLAN.rounds) == 4
    assert {each.recharge_id for each in written} == set(PLAN.wanted) - {f"{tenant}:4" for tenant in PLACES}
    assert len(written) > len({(each.recharge_id, each.attempt) for each in written})
    assert {each.attempt for each in written} == {1, 2}
    assert [each.sequence for each in written] != sorted(each.sequence for each in written)
    assert not set(PLAN.wanted) & {each.recharge_id for each in PLAN.aborted}


def test_what_is_asked_again_is_the_same_recharge() -> None:
    def terms(plan: Plan) -> set[tuple[str, int, str]]:
        every = [each for part in (*plan.rounds, plan.afterwards) for each in part]
        return {(each.recharge_id, each.amount_micros, each.currency) for each in every}

    assert len(terms(PLAN)) == len(PLAN.wanted)
