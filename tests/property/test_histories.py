"""Whatever happens to an account, in whatever order, its ledger explains its balance to the micro."""

from collections import Counter

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from processor.contracts.outputs import decode_account, encode
from processor.domain.account import Account, Lot
from processor.domain.errors import InputRejected, InvariantViolated
from processor.domain.messages import CallUsage, ConferenceUsage, RechargeDecided
from processor.domain.metering import apply
from tests.property.histories import Run, histories, resolve
from tests.unit.builders import NOW, TENANT, funded


def entries(run: Run):
    return [entry for outcome in run.outcomes for entry in outcome.entries]


@settings(max_examples=100)
@given(histories)
def test_the_ledger_alone_rebuilds_balance_lots_and_overdraft(history):
    """Entries chain without a hole, and the sum of the changes of a lot is what is left in it."""
    run = Run().take_all(resolve(history))
    balance, overdraft, lots = 0, 0, Counter()
    for revision, entry in enumerate(entries(run), 1):
        assert (entry.revision, entry.entry_id) == (revision, f"{TENANT}:{revision}")
        balance += entry.amount_micros
        assert entry.balance_micros == balance
        for change in entry.lots:
            lots[change.lot_id] += change.amount_micros
            assert lots[change.lot_id] >= 0
        overdraft += sum(change.amount_micros for change in entry.lots) - entry.amount_micros
        assert overdraft >= 0
        assert overdraft - sum(lots.values()) == -balance
        event(entry.kind)
    account = run.account
    assert (account.balance_micros, account.overdraft_micros, account.revision) == (
        balance,
        overdraft,
        len(entries(run)),
    )
    assert {lot.lot_id: lot.remaining_micros for lot in account.lots} == dict(+lots)
    amounts = [entry.amount_micros for entry in entries(run)]
    assert account.credited_micros == sum(amount for amount in amounts if amount > 0)
    assert account.debited_micros == -sum(amount for amount in amounts if amount < 0)


@given(histories)
def test_lots_are_kept_in_burn_order_and_spent_from_the_front(history):
    run = Run()
    for message, now in resolve(history):
        before = [lot.lot_id for lot in run.account.lots]
        outcome = run.take(message, now)
        assert run.account.lots == sorted(run.account.lots, key=Lot.burn_order)
        for entry in outcome.entries if outcome else ():
            if entry.kind == "charge":
                touched = [change.lot_id for change in entry.lots]
                rest = [lot_id for lot_id in before if lot_id not in expired(outcome)]
                assert touched == rest[: len(touched)]


def expired(outcome) -> set[str]:
    return {change.lot_id for entry in outcome.entries if entry.kind == "expiry" for change in entry.lots}


@given(histories)
def test_every_applied_leg_is_one_charge_entry_and_nothing_is_charged_otherwise(history):
    run = Run()
    for message, now in resolve(history):
        outcome = run.take(message, now)
        if outcome is None:
            continue
        charges = [entry for entry in outcome.entries if entry.kind == "charge"]
        used = isinstance(message, CallUsage | ConferenceUsage)
        assert len(charges) == used
        for entry in charges:
            assert entry.usage is not None
            assert entry.amount_micros == 0 or entry.usage.decision == "credits"
            assert ("overdrawn" in entry.flags) == (entry.balance_micros < 0 and entry.amount_micros < 0)


@given(histories)
def test_a_rejected_message_leaves_the_account_as_it_was(history):
    run = Run()
    for message, now in resolve(history):
        before, rejections = encode(run.account), len(run.rejected)
        run.take(message, now)
        if len(run.rejected) > rejections:
            assert encode(run.account) == before
            event(run.rejected[-1])


@given(histories)
def test_a_refused_command_does_nothing_but_say_so(history):
    run = Run()
    for message, now in resolve(history):
        before = encode(run.account)
        outcome = run.take(message, now)
        if outcome and any(notice.kind == "command.rejected" for notice in outcome.notices):
            assert (outcome.entries, outcome.requests, len(outcome.notices)) == ([], [], 1)
            assert encode(run.account) == before
            event(str(outcome.notices[0].reason))


@settings(max_examples=100)
@given(histories)
def test_at_most_one_recharge_is_in_flight_and_each_is_credited_at_most_once(history):
    run = Run()
    in_flight, asked, credited = None, [], Counter()
    for message, now in resolve(history):
        outcome = run.take(message, now)
        if outcome is None:
            continue
        if isinstance(message, RechargeDecided) and message.data.recharge_id == in_flight:
            in_flight = None
        for entry in outcome.entries:
            if entry.kind == "recharge":
                assert isinstance(message, RechargeDecided)
                credited[message.data.recharge_id] += 1
                assert (
                    entry.amount_micros
                    == next(r for r in asked if r.recharge_id == message.data.recharge_id).amount_micros
                )
        for request in outcome.requests:
            assert in_flight is None
            assert request.balance_micros <= request.trigger_micros
            in_flight = request.recharge_id
            asked.append(request)
            event("recharge asked for")
        assert run.account.recharge.in_flight == in_flight
    assert [request.recharge_id for request in asked] == [f"{TENANT}:{n}" for n in range(1, len(asked) + 1)]
    assert not credited or max(credited.values()) == 1
    event("recharge credited" if credited else "nothing credited")


@given(histories)
def test_the_caps_hold_on_every_day_and_in_every_month(history):
    """No account here may pay more than the operator's or its own count per day, at the time it asks."""
    run = Run()
    per_day, per_month = Counter(), Counter()
    for message, now in resolve(history):
        outcome = run.take(message, now)
        for request in outcome.requests if outcome else ():
            day = now.date().isoformat()
            per_day[day] += 1
            per_month[day[:7]] += request.amount_micros
            autopay = run.account.autopay
            assert autopay is not None
            assert per_day[day] <= (autopay.max_per_day or run.tariff.policy.recharge_max_per_day)
            assert autopay.max_per_month_micros is None or per_month[day[:7]] <= autopay.max_per_month_micros
            units = autopay.max_units or run.tariff.policy.recharge_max_units
            assert request.amount_micros in [autopay.payment_amount_micros * n for n in range(1, units + 1)]


@given(histories, st.data())
def test_deliveries_that_are_repeated_change_nothing(history, data):
    steps = resolve(history)
    expected = Run().take_all(steps).state()
    repeated = Run()
    for position, (message, now) in enumerate(steps):
        repeated.take(message, now)
        if data.draw(st.booleans(), label=f"repeat after {position}"):
            earlier = data.draw(st.integers(0, position), label="which")
            if steps[earlier][0].id not in rejected_ids(steps):
                repeated.take(steps[earlier][0], now)
    assert repeated.state() == expected


def rejected_ids(steps) -> set[str]:
    """Events that were parked at some time: they are not remembered, so a later delivery may be applied."""
    run, ids = Run(), set()
    for message, now in steps:
        rejections = len(run.rejected)
        run.take(message, now)
        if len(run.rejected) > rejections:
            ids.add(message.id)
    return ids


@given(histories)
def test_a_result_that_slips_through_de_duplication_changes_nothing(history):
    run = Run()
    for message, now in resolve(history):
        run.take(message, now)
        if isinstance(message, RechargeDecided):
            before = encode(run.account)
            try:
                outcome = apply(run.account, message, run.tariff, now)
            except InputRejected:
                pass
            else:
                assert (outcome.entries, outcome.requests, outcome.notices) == ([], [], [])
            assert encode(run.account) == before


@given(histories, st.integers(0, 40))
def test_a_worker_that_takes_over_anywhere_goes_on_as_if_nothing_had_happened(history, cut):
    steps = resolve(history)
    expected = Run().take_all(steps)
    first = Run().take_all(steps[:cut])
    successor = Run(decode_account(encode(first.account)), seen=first.seen, outcomes=first.outcomes)
    assert successor.account == first.account
    assert successor.take_all(steps[cut:]).state() == expected.state()


@given(histories)
def test_an_account_survives_being_published(history):
    account = Run().take_all(resolve(history)).account
    published = encode(account)
    assert decode_account(published) == account
    assert encode(decode_account(published)) == published


def test_the_histories_reach_every_kind_of_entry_and_every_reason():
    """The strategies are worth something: among many histories everything occurs that is looked for above."""
    kinds, reasons = Counter(), Counter()

    @settings(max_examples=200, database=None, derandomize=True)
    @given(histories)
    def collect(history):
        run = Run().take_all(resolve(history))
        kinds.update(entry.kind for entry in entries(run))
        kinds.update(notice.kind for outcome in run.outcomes for notice in outcome.notices)
        reasons.update(run.rejected)

    collect()
    assert {"charge", "fund", "recharge", "expiry"} <= set(kinds)
    assert {"recharge.failed", "autopay.suspended", "autopay.blocked", "command.rejected", "balance.zero"} <= set(kinds)
    assert {"no_rate", "currency_mismatch", "number_invalid", "too_old", "unknown_recharge"} <= set(reasons)
    assert {"conflicting_result"} <= set(reasons)


def test_an_unsound_account_is_noticed():
    """The histories would not prove anything if the check that runs after every step accepted everything."""
    run = Run(Account(tenant_id=TENANT, currency="USD", balance_micros=1))
    with pytest.raises(InvariantViolated):
        run.take(funded(50), NOW)
