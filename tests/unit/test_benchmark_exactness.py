"""The checker of the peers' benchmark finds every fault that is planted in a right ledger."""

import pytest

from benchmarks.exactness import Entry, Exactness, Expected, Request, check

EXPECTED = Expected("evt-007-", 3, {"a": 30, "b": 5, "idle": 0}, trigger_micros=80)
FAULTLESS = Exactness(missing=0, doubled=0, unknown=0, wrong_sums=0, broken_balances=0, wrong_requests=0)


def ledger() -> list[Entry]:
    return [
        Entry("a", None, 100, 100),
        Entry("b", None, 100, 100),
        Entry("a", "evt-007-000000000", -10, 90),
        Entry("b", "evt-007-000000001", -5, 95),
        Entry("a", "evt-007-000000002", -20, 70),
    ]


REQUESTS = [Request("a", "a:1")]


def test_a_ledger_with_every_event_once_and_the_request_of_who_reached_the_trigger_is_exact():
    found = check(EXPECTED, ledger(), REQUESTS)
    assert found == FAULTLESS
    assert found.exact


def test_a_missing_entry_is_found():
    entries = ledger()[:-1]
    found = check(EXPECTED, entries, [])
    assert found == FAULTLESS._replace(missing=1, wrong_sums=1)
    assert not found.exact


def test_an_entry_written_twice_is_found_by_its_event_its_tenants_sum_and_its_balance():
    found = check(EXPECTED, [*ledger(), ledger()[-1]], REQUESTS)
    assert found == FAULTLESS._replace(doubled=1, wrong_sums=1, broken_balances=1)


def test_an_event_charged_twice_with_consistent_balances_is_found():
    found = check(EXPECTED, [*ledger(), Entry("a", "evt-007-000000002", -20, 50)], REQUESTS)
    assert found == FAULTLESS._replace(doubled=1, wrong_sums=1)


@pytest.mark.parametrize("event_id", ["evt-007-000000003", "evt-008-000000000", "evt-007-", "evt-007-000000-01"])
def test_an_entry_for_an_event_that_was_never_sent_is_found(event_id):
    found = check(EXPECTED, [*ledger(), Entry("a", event_id, 0, 70)], REQUESTS)
    assert found == FAULTLESS._replace(unknown=1)


def test_two_wrong_amounts_that_add_up_over_all_tenants_are_found():
    entries = ledger()
    entries[3] = Entry("b", "evt-007-000000001", -4, 96)
    entries[4] = Entry("a", "evt-007-000000002", -21, 69)
    assert check(EXPECTED, entries, REQUESTS) == FAULTLESS._replace(wrong_sums=2)


def test_a_tenant_that_owes_nothing_but_is_charged_is_found():
    found = check(EXPECTED._replace(charged_micros={"a": 30}), ledger(), REQUESTS)
    assert found == FAULTLESS._replace(wrong_sums=1)


def test_a_balance_that_does_not_follow_from_the_one_before_is_found():
    entries = ledger()
    entries[-1] = Entry("a", "evt-007-000000002", -20, 71)
    assert check(EXPECTED, entries, REQUESTS) == FAULTLESS._replace(broken_balances=1)


@pytest.mark.parametrize(
    "requests",
    [[], [Request("a", "a:1"), Request("a", "a:1")], [Request("a", "a:1"), Request("b", "b:1")]],
    ids=["lacking", "repeated", "before its trigger"],
)
def test_a_recharge_command_that_is_lacking_repeated_or_early_is_found(requests):
    assert check(EXPECTED, ledger(), requests) == FAULTLESS._replace(wrong_requests=1)
