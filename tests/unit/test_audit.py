"""An audit that finds nothing must be worth something: every kind of drift is planted and must be found."""

from collections.abc import Callable
from datetime import timedelta
from typing import get_args

import msgspec
import pytest

from processor.domain.audit import FINDINGS_KEPT, Books, FindingKind, Findings
from processor.domain.audit_repeats import Repeats, cause, repeated
from processor.domain.ledger import Entry, LotChange
from processor.domain.messages import Adjusted, AdjustedData, Tick
from tests.worlds import UNIT, World, lived


def test_an_honest_world_has_no_drift():
    world = lived()
    kinds, books, findings = world.audit()
    assert findings.kept == []
    assert kinds == []
    assert (books.tenants, books.entries, books.partial) == (2, len(world.entries), 0)
    assert [command.recharge_id for command in world.commands] == ["a:1", "a:2", "b:1", "a:3"]


def test_a_drift_is_told_in_the_currency_of_the_account():
    world = lived()
    for state in world.states.values():
        state.currency = "JPY"
    told = world.states["a"].balance_micros
    world.states["a"].balance_micros += UNIT
    [finding] = [finding for finding in world.audit()[2].kept if finding.kind == "balance_differs"]
    assert finding.message == f"the ledger makes {told // UNIT} JPY, the state {told // UNIT + 1} JPY"


def test_an_account_that_only_set_autopay_has_a_state_and_no_entries():
    world = World()
    world.autopay("a")
    world.publish()
    assert world.audit()[0] == []


def test_a_repeated_result_and_a_foreign_one_are_no_drift():
    world = lived()
    again = world.decide("a", number=0)
    world.apply("a", again)  # the meter knows it already
    world.decide("b", "failed")  # contradicts and is parked
    wrong = world.decide("a", number=1)
    wrong.data.amount_micros += 1
    assert world.audit()[0] == []


def test_every_way_of_expiry_is_read_back():
    world = World()
    world.fund("a", 50)
    world.fund("a", 60)
    world.now += timedelta(days=366)
    world.call("a", 1)
    world.publish()
    assert [entry.kind for entry in world.entries] == ["fund", "fund", "expiry", "expiry", "charge"]
    assert world.audit()[0] == []


def of(world: World, tenant: str, kind: str = "charge") -> Entry:
    return next(entry for entry in world.entries if entry.tenant_id == tenant and entry.kind == kind)


def change(**fields: int) -> Callable[[World], None]:
    def plant(world: World) -> None:
        world.states["a"] = msgspec.structs.replace(world.states["a"], **fields)

    return plant


def one_micro_more(world: World) -> None:
    world.states["a"].balance_micros += 1


def remainder_moved_between_lots(world: World) -> None:
    world.fund("b", 70)
    world.publish()
    first, second = world.states["b"].lots[:2]
    first.remaining_micros += 5
    second.remaining_micros -= 5


def hidden_debt(world: World) -> None:
    world.states["a"].overdraft_micros += 7


def lost_entry(world: World) -> None:
    world.entries.remove(of(world, "a", "recharge"))


def doubled_entry(world: World) -> None:
    world.entries.insert(3, world.entries[2])


def doubled_charge_under_its_own_revision(world: World) -> None:
    world.call("b", 1)
    last = world.entries[-1]
    last.event_id, last.event_source = of(world, "b").event_id, of(world, "b").event_source
    world.publish()


def forged_amount(world: World) -> None:
    of(world, "a").amount_micros -= 1


def more_taken_from_a_lot_than_was_in_it(world: World) -> None:
    of(world, "b").lots[0] = LotChange("lot-1", -51 * UNIT)


def more_taken_from_lots_than_charged(world: World) -> None:
    of(world, "a").lots[0] = LotChange("lot-1", -36 * UNIT)


def ledger_behind_the_state(world: World) -> None:
    world.entries = [entry for entry in world.entries if entry.tenant_id != "b"]


def lost_state(world: World) -> None:
    del world.states["b"]


def doubled_command(world: World) -> None:
    world.commands.insert(1, world.commands[0])


def command_under_other_terms(world: World) -> None:
    world.commands.insert(1, msgspec.structs.replace(world.commands[0], attempt=2, amount_micros=1))


def skipped_sequence(world: World) -> None:
    del world.commands[1]


def lost_last_command(world: World) -> None:
    world.commands = [command for command in world.commands if command.tenant_id != "b"]
    world.states["b"].recharge.in_flight = "b:1"


def second_while_one_is_in_flight(world: World) -> None:
    world.commands.append(msgspec.structs.replace(world.commands[-1], recharge_id="a:4", sequence=4))


def older_one_asked_again(world: World) -> None:
    world.commands.append(msgspec.structs.replace(world.commands[0], attempt=2))


def last_attempt_skipped(world: World) -> None:
    world.commands.append(msgspec.structs.replace(world.commands[-1], attempt=3))


def lost_attempt(world: World) -> None:
    """The state says that the last recharge was asked for twice."""
    last = world.commands[-1]
    world.states[last.tenant_id].recharge.in_flight = last.recharge_id
    world.states[last.tenant_id].recharge.attempt = 2


def success_without_money(world: World) -> None:
    """The meter forgot the credit everywhere, so that only the results give it away."""
    index = world.entries.index(of(world, "a", "recharge"))
    taken = world.entries.pop(index)
    for entry in world.entries[index:]:
        if entry.tenant_id == "a":
            entry.revision -= 1
            entry.balance_micros -= taken.amount_micros
    world.states["a"].revision -= 1
    world.states["a"].balance_micros -= taken.amount_micros


def credited_twice(world: World) -> None:
    again = world.decide("a", number=0)
    world.accounts["a"].recharge.decided = []
    world.accounts["a"].recharge.in_flight = again.data.recharge_id
    world.apply("a", again)
    world.publish()


def money_out_of_nothing(world: World) -> None:
    world.results.pop(0)


PLANTED: list[tuple[Callable[[World], None], FindingKind]] = [
    (one_micro_more, "balance_differs"),
    (remainder_moved_between_lots, "lots_differ"),
    (hidden_debt, "overdraft_differs"),
    (lost_entry, "revision_hole"),
    (doubled_entry, "revision_repeated"),
    (doubled_charge_under_its_own_revision, "applied_twice"),
    (forged_amount, "chain_broken"),
    (more_taken_from_a_lot_than_was_in_it, "lot_below_zero"),
    (more_taken_from_lots_than_charged, "overdraft_below_zero"),
    (ledger_behind_the_state, "ledger_too_short"),
    (lost_state, "state_missing"),
    (doubled_command, "command_repeated"),
    (command_under_other_terms, "command_changed"),
    (skipped_sequence, "sequence_hole"),
    (lost_last_command, "command_missing"),
    (lost_attempt, "command_missing"),
    (last_attempt_skipped, "attempt_hole"),
    (second_while_one_is_in_flight, "second_in_flight"),
    (older_one_asked_again, "second_in_flight"),
    (success_without_money, "recharge_not_credited"),
    (credited_twice, "recharge_credited_twice"),
    (money_out_of_nothing, "recharge_without_result"),
]


@pytest.mark.parametrize(("plant", "kind"), PLANTED, ids=lambda value: getattr(value, "__name__", value))
def test_a_planted_drift_is_found(plant, kind):
    world = lived()
    plant(world)
    kinds, _, findings = world.audit()
    assert kind in kinds
    assert 0 < findings.count <= 6, "one drift must not be told many times"
    assert all(finding.tenant_id in ("a", "b") for finding in findings.kept)


def test_what_time_and_the_operator_do_is_no_drift():
    world = World()
    world.fund("a", 50)
    world.autopay("a")
    world.call("a", 35)
    for amount in (5, -30, 40):
        data = AdjustedData(tenant_id="a", amount_micros=amount * UNIT, reason="r", operator="o")
        world.apply("a", Adjusted(**world.envelope(), data=data))
    for _ in range(3):
        world.now += timedelta(hours=1)
        world.apply("a", Tick())
    world.settle("a")
    world.publish()
    world.now += timedelta(days=400)
    world.apply("a", Tick())
    assert {entry.kind for entry in world.entries} == {"fund", "charge", "adjustment", "recharge", "expiry"}
    assert max(command.attempt for command in world.commands) == 4
    assert world.audit()[0] == []


def test_every_kind_of_drift_is_planted():
    assert {kind for _, kind in PLANTED} == set(get_args(FindingKind))


def test_a_trimmed_ledger_is_checked_from_the_balance_before_its_first_entry():
    world = lived()
    world.entries.remove(of(world, "a", "fund"))
    world.entries.remove(of(world, "b", "fund"))
    kinds, books, _ = world.audit()
    assert kinds == []
    assert books.partial == 2
    one_micro_more(world)
    assert world.audit()[0] == ["balance_differs"]


def test_trimmed_commands_and_results_are_no_drift():
    world = lived()
    del world.commands[0], world.results[0]
    world.results_trimmed = True
    assert world.audit()[0] == []


def test_a_trimmed_ledger_is_not_blamed_for_credits_before_its_first_entry():
    world = lived()
    world.entries = [entry for entry in world.entries if entry.tenant_id == "b" or entry.revision > 3]
    assert world.audit()[0] == []


def test_findings_are_bounded_and_all_counted():
    world = lived()
    world.entries += [world.entries[0]] * (FINDINGS_KEPT + 500)
    _, _, findings = world.audit()
    assert findings.count == FINDINGS_KEPT + 500
    assert len(findings.kept) == FINDINGS_KEPT


def test_a_second_round_goes_on_where_the_first_one_ended() -> None:
    world = lived()
    findings = Findings()
    books = Books(findings, remembered=10)
    read = [0]

    def round_() -> None:
        world.publish()
        for tenant, state in world.states.items():
            books.state(tenant, state)
        for entry in world.audited()[read[0] :]:
            books.entry(entry)
        read[0] = len(world.entries)
        if suspects := books.suspects():
            books.confirm(world.audited(), suspects)
        books.close(books.stateless())

    for _ in range(5):
        round_()
        world.call("a", 3)
        world.fund("b", 50)
    assert (findings.kept, books.entries) == ([], len(world.entries) - 2)
    round_()
    earlier = world.entries[-2]
    world.call("a", 1)
    world.entries[-1].event_id = earlier.event_id
    round_()
    assert [(finding.kind, finding.tenant_id) for finding in findings.kept] == [("applied_twice", "a")]
    world.fund("b", 50)
    world.accounts["b"].balance_micros += 1
    round_()
    assert [finding.kind for finding in findings.kept[1:]] == ["balance_differs"]


@pytest.mark.parametrize("remembered", [None, 1, 3, 100])
def test_a_repetition_is_suspected_within_what_is_remembered_and_confirmed_by_reading_again(remembered) -> None:
    world = World()
    world.fund("a", 50)
    for _ in range(20):
        world.call("a", 1)
    entries = world.audited()
    repeats, suspected = Repeats(remembered), []
    for entry in entries:
        repeats.add(entry)
        assert repeats.suspects() == set()
    for distance in (1, 2, 7):
        repeats.add(entries[-distance])
        suspected.append(bool(repeats.suspects()))
    assert suspected == [True, remembered != 1, remembered in (None, 100)]
    twice = [*entries, entries[5]]
    assert list(repeated(twice, {hash(cause(entries[5]))})) == [entries[5]]
    assert list(repeated(twice, {hash(cause(entries[6]))})) == [], "digests that agree by chance are no finding"
