"""Auto-pay against a model that shares no code with it: whatever happens in whatever order, the card is safe.

The model keeps its own money, its own caps and a payment provider with its own book of charges. It knows nothing of how
the meter stores its state.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest
from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from processor.contracts.outputs import decode_account, encode
from processor.domain.errors import InputRejected
from processor.domain.ledger import Entry, Notice, RechargeRequest
from processor.domain.messages import Tick
from processor.domain.posting import Outcome
from processor.domain.timers import next_due
from tests.unit.builders import NOW, TENANT, UNIT, Meter, adjusted, autopay, call, decided, funded, reset

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MINIMUM = 50 * UNIT
DIME = 100_000
OPERATORS_CAP = 3


class Money:
    """Lots of credit with their ends, oldest first, and a debt."""

    def __init__(self) -> None:
        self.lots: list[list] = []
        self.debt = 0

    @property
    def balance(self) -> int:
        return sum(left for _, left in self.lots) - self.debt

    def add(self, micros: int, ends: datetime) -> None:
        paid = min(micros, self.debt)
        self.debt -= paid
        if micros > paid:
            self.lots = sorted([*self.lots, [ends, micros - paid]], key=lambda lot: lot[0])

    def take(self, micros: int) -> list[list]:
        """Returns from which lots, by their ends; the rest is debt."""
        taken = []
        for lot in self.lots:
            spent = min(micros, lot[1])
            lot[1] -= spent
            micros -= spent
            taken.append([lot[0], spent])
        self.lots = [lot for lot in self.lots if lot[1]]
        self.debt += micros
        return taken

    def give_back(self, micros: int, taken: list[list], charged_at: datetime) -> None:
        """Pays the debt first, then fills the lots again, the last one first; what was debt is a lot of its own."""
        paid = min(micros, self.debt)
        self.debt -= paid
        micros -= paid
        for ends, spent in [*reversed(taken), [a_year_after(charged_at), micros]]:
            back = min(micros, spent)
            micros -= back
            self.lots += [[ends, back]] if back else []
        self.lots.sort(key=lambda lot: lot[0])

    def expire(self, now: datetime) -> None:
        self.lots = [lot for lot in self.lots if lot[0] > now]


class Provider:
    """Charges a card at most once per id and never changes its mind."""

    def __init__(self) -> None:
        self.asked: dict[str, list[RechargeRequest]] = defaultdict(list)
        self.book: dict[str, str] = {}

    def undecided(self) -> list[str]:
        return [recharge_id for recharge_id in self.asked if recharge_id not in self.book]

    def taken(self) -> int:
        return sum(self.asked[each][0].amount_micros for each, status in self.book.items() if status == "succeeded")


def a_year_after(at: datetime) -> datetime:
    return at.replace(year=at.year + 1, day=28) if (at.month, at.day) == (2, 29) else at.replace(year=at.year + 1)


class Charge(NamedTuple):
    """A leg that can be taken back."""

    event_id: str
    started_at: datetime
    micros: int
    taken: list[list]


class AutopayMachine(RuleBasedStateMachine):
    """Any order of usage, its corrections, funds, adjustments, settings, resets, results and time, also backwards."""

    def __init__(self) -> None:
        super().__init__()
        self.meter = Meter(recharge_max_per_day=OPERATORS_CAP, recharge_deadline_max=DAY)
        self.provider = Provider()
        self.money = Money()
        self.form = None
        self.applied: dict[str, str] = {}
        self.failures = 0
        self.pause_ends: datetime | None = None
        self.suspended = False
        self.per_day: Counter[str] = Counter()
        self.per_month: Counter[str] = Counter()
        self.notices: list[Notice] = []
        self.credited = 0
        self.workers_clock = timedelta(0)
        """How much that of the payment worker is ahead of the meter's."""
        self.charges: list[Charge] = []
        self.last_counted = ""
        self.expiries = 0

    @initialize(day=st.integers(0, 800), hour=st.integers(0, 23), data=st.data())
    def some_day(self, day: int, hour: int, data: st.DataObject) -> None:
        self.meter.now = (NOW + day * DAY).replace(hour=hour)
        self.workers_clock = data.draw(st.sampled_from([timedelta(0), timedelta(0), HOUR, 500 * DAY]))
        if data.draw(st.sampled_from([True, True, True, False])):
            self.save(50, 20, enabled=True, per_day=None, per_month=data.draw(st.sampled_from([None, 200])), units=None)

    # What happens

    @rule(units=st.sampled_from([1, 10, 40, 60, 200]))
    def spend(self, units: int) -> None:
        self.money.expire(self.meter.now)
        taken = self.money.take(units * UNIT)
        outcome = self.meter.debit(units * UNIT)
        entry = outcome.entries[-1]
        self.charges.append(Charge(entry.event_id, entry.occurred_at, units * UNIT, taken))
        self.see(outcome)

    @precondition(lambda self: self.charges)
    @rule(data=st.data(), kind=st.sampled_from(["void", "correction"]))
    def take_back(self, data: st.DataObject, kind: str) -> None:
        """All of a charge, or all but a dime."""
        charge = data.draw(st.sampled_from(self.charges))
        message = call(60, charge.started_at, record_kind=kind, corrects=charge.event_id)
        policy, now = self.meter.tariff.policy, self.meter.now
        ahead = kind == "correction" and message.data.ended_at > now + policy.max_future
        if charge.started_at < now - policy.corrections or ahead:
            before = encode(self.meter.account)
            with pytest.raises(InputRejected) as caught:
                self.meter.apply(message)
            assert (caught.value.reason, encode(self.meter.account)) == ("in_future" if ahead else "too_old", before)
            return
        self.charges.remove(charge)
        event(f"{kind} of a leg")
        self.money.expire(now)
        self.money.give_back(charge.micros, charge.taken, charge.started_at)
        self.money.expire(now)
        if kind == "correction":
            self.charges.append(charge._replace(micros=DIME, taken=self.money.take(DIME)))
        self.see(self.meter.apply(message))

    @rule(time=st.sampled_from([timedelta(seconds=5), timedelta(minutes=20), HOUR, 2 * DAY]))
    def clock_goes_back(self, time: timedelta) -> None:
        """What has happened stays, and no day or month is counted from its beginning again."""
        self.meter.now -= time

    @rule(units=st.sampled_from([50, 70, 1000]), age=st.sampled_from([0, 0, 300, 350]))
    def pay_in(self, units: int, age: int) -> None:
        purchased_at = self.meter.now - age * DAY
        self.money.add(units * UNIT, a_year_after(purchased_at))
        self.forgive()
        self.see(self.meter.apply(funded(units, purchased_at)))

    @rule(units=st.sampled_from([-100, -5, 5, 30]))
    def adjust(self, units: int) -> None:
        if self.meter.account.is_new:
            return
        if units > 0:
            self.money.add(units * UNIT, a_year_after(self.meter.now))
        else:
            self.money.take(-units * UNIT)
        self.see(self.meter.apply(adjusted(units)))

    @rule(
        payment=st.sampled_from([50, 50, 80]),
        trigger=st.sampled_from([0, 20, 100]),
        enabled=st.sampled_from([True, True, True, False]),
        per_day=st.sampled_from([None, 1, 5]),
        per_month=st.sampled_from([None, None, 100, 300]),
        units=st.sampled_from([None, 2]),
    )
    def save(
        self, payment: int, trigger: int, enabled: bool, per_day: int | None, per_month: int | None, units: int | None
    ) -> None:
        cap = None if per_month is None else per_month * UNIT
        command = autopay(
            payment, trigger, enabled=enabled, max_per_day=per_day, max_per_month_micros=cap, max_units=units
        )
        if self.form != command.data:
            self.forgive()
        self.form = command.data
        self.see(self.meter.apply(command))

    @rule()
    def reset_it(self) -> None:
        if self.meter.account.is_new:
            return
        self.forgive()
        if self.last_counted > f"{self.meter.now:%Y-%m-%d}":
            self.last_counted = ""
            self.per_day.clear()
            self.per_month.clear()
        self.see(self.meter.apply(reset()))

    @precondition(lambda self: self.provider.undecided())
    @rule(status=st.sampled_from(["succeeded", "succeeded", "declined", "declined", "failed"]), data=st.data())
    def provider_decides(self, status: str, data: st.DataObject) -> None:
        self.provider.book[data.draw(st.sampled_from(self.provider.undecided()))] = status

    @precondition(lambda self: self.provider.book)
    @rule(data=st.data())
    def result_arrives(self, data: st.DataObject) -> None:
        """For the first time, late or again."""
        self.deliver(data.draw(st.sampled_from(sorted(self.provider.book))))

    @precondition(lambda self: self.applied)
    @rule(data=st.data(), other=st.sampled_from(["succeeded", "declined", "failed"]))
    def result_contradicts(self, data: st.DataObject, other: str) -> None:
        recharge_id = data.draw(st.sampled_from(sorted(self.applied)))
        if other == self.applied[recharge_id]:
            return
        before = encode(self.meter.account)
        with pytest.raises(InputRejected) as caught:
            self.meter.apply(self.result(recharge_id, other))
        assert caught.value.reason in ("conflicting_result", "unknown_recharge")
        assert encode(self.meter.account) == before
        event(caught.value.reason)

    @precondition(lambda self: self.meter.in_flight)
    @rule(status=st.sampled_from(["declined", "succeeded", "failed"]), times=st.integers(1, 4))
    def provider_answers(self, status: str, times: int) -> None:
        """At once, and again what is asked for after a pause or more use."""
        for _ in range(times):
            if self.meter.in_flight is None:
                self.spend(60)
                self.time_passes(DAY)
            if (recharge_id := self.meter.in_flight) is not None:
                self.provider.book.setdefault(recharge_id, status)
                self.deliver(recharge_id)

    @rule(time=st.sampled_from([timedelta(seconds=1), timedelta(minutes=5), HOUR, 7 * HOUR, DAY, 20 * DAY, 200 * DAY]))
    def time_passes(self, time: timedelta) -> None:
        until = self.meter.now + time
        while (due := next_due(self.meter.account, self.meter.tariff.policy)) is not None and due <= until:
            self.meter.now = max(self.meter.now, due)
            self.see(self.meter.apply(Tick()))
        self.meter.now = until
        self.money.expire(until)

    @rule()
    def another_worker_takes_over(self) -> None:
        self.meter.account = decode_account(encode(self.meter.account))

    # What must follow

    def see(self, outcome: Outcome) -> None:
        """Books what the meter said, as the outside world would, and lets what is due at once fire."""
        now = self.meter.now
        self.money.expire(now)
        for request in outcome.requests:
            self.asked(request, now)
        self.notices += outcome.notices
        self.expiries += sum(entry.kind == "expiry" for entry in outcome.entries)
        self.credited += sum(entry.amount_micros for entry in recharges(outcome))
        due = next_due(self.meter.account, self.meter.tariff.policy)
        if due is not None and due <= now:
            self.see(self.meter.apply(Tick()))

    def asked(self, request: RechargeRequest, now: datetime) -> None:
        earlier = self.provider.asked[request.recharge_id]
        if earlier:
            assert request.recharge_id not in self.applied, "asked again although its result is known"
            assert request.attempt == earlier[-1].attempt + 1
            assert now >= earlier[-1].deadline_at
            same = ("amount_micros", "currency", "payment_method_ref", "sequence")
            assert all(getattr(request, name) == getattr(earlier[0], name) for name in same)
            event("asked again")
        else:
            assert all(each in self.applied for each in self.provider.asked if each != request.recharge_id), (
                "a second recharge in flight"
            )
            assert self.due(now), "asked for a payment that is not due"
            assert request.amount_micros == self.amount()
            self.count(request.amount_micros, now)
        earlier.append(request)

    def due(self, now: datetime) -> bool:
        """The rules in their simplest words."""
        form = self.form
        return (
            form is not None
            and form.enabled
            and self.money.balance <= form.trigger_micros
            and not self.suspended
            and (self.pause_ends is None or now >= self.pause_ends)
            and self.per_day[self.today(now)] < (form.max_per_day or OPERATORS_CAP)
            and (
                form.max_per_month_micros is None
                or self.per_month[self.today(now)[:7]] + self.amount() <= form.max_per_month_micros
            )
        )

    def amount(self) -> int:
        units = 1
        while (
            units < (self.form.max_units or 1)
            and self.money.balance + units * self.form.payment_amount_micros <= self.form.trigger_micros
        ):
            units += 1
        return units * self.form.payment_amount_micros

    def count(self, micros: int, now: datetime) -> None:
        self.last_counted = today = self.today(now)
        self.per_day[today] += 1
        self.per_month[today[:7]] += micros

    def today(self, now: datetime) -> str:
        assert now.tzinfo is UTC
        return max(f"{now:%Y-%m-%d}", self.last_counted)

    def forgive(self) -> None:
        self.failures, self.pause_ends, self.suspended = 0, None, False

    def result(self, recharge_id: str, status: str):
        amount = self.provider.asked[recharge_id][0].amount_micros
        return decided(recharge_id, status, amount_micros=amount, decided_at=self.meter.now + self.workers_clock)

    def deliver(self, recharge_id: str) -> None:
        status, now = self.provider.book[recharge_id], self.meter.now
        repeated = recharge_id in self.applied
        if not repeated:
            event(f"{status} at attempt {min(self.provider.asked[recharge_id][-1].attempt, 3)}")
            self.applied[recharge_id] = status
            if status == "succeeded":
                self.money.add(self.provider.asked[recharge_id][0].amount_micros, a_year_after(now))
                self.forgive()
            else:
                self.failures += 1
                self.suspended = self.failures >= 3
                self.pause_ends = now + min(HOUR * 2 ** (self.failures - 1), DAY)
        try:
            outcome = self.meter.apply(self.result(recharge_id, status))
        except InputRejected as rejected:
            if not repeated or rejected.reason != "unknown_recharge":
                raise
            return  # one of long ago
        assert not repeated or (outcome.entries, outcome.requests, outcome.notices) == ([], [], [])
        self.see(outcome)

    @invariant()
    def the_balance_is_that_of_the_model(self) -> None:
        assert self.meter.balance == self.money.balance

    @invariant()
    def at_most_one_is_in_flight_and_the_meter_knows_which(self) -> None:
        waiting = [recharge_id for recharge_id in self.provider.asked if recharge_id not in self.applied]
        assert waiting == ([self.meter.in_flight] if self.meter.in_flight else [])

    @invariant()
    def a_payment_that_is_due_is_asked_for(self) -> None:
        assert self.meter.in_flight is not None or not self.due(self.meter.now)

    @invariant()
    def the_money_credited_is_the_money_taken_as_far_as_the_results_have_arrived(self) -> None:
        arrived = [each for each, status in self.applied.items() if status == "succeeded"]
        assert self.credited == sum(self.provider.asked[each][0].amount_micros for each in arrived)

    @invariant()
    def nobody_is_told_twice(self) -> None:
        told = Counter((notice.kind, notice.cause) for notice in self.notices)
        assert not told or max(told.values()) == 1, told.most_common(1)

    @invariant()
    def every_forfeiture_is_told(self) -> None:
        assert len({notice.cause for notice in self.notices if notice.kind == "lot.expired"}) == self.expiries

    @invariant()
    def the_clock_has_nothing_left_to_do(self) -> None:
        due = next_due(self.meter.account, self.meter.tariff.policy)
        assert due is None or due > self.meter.now
        before = encode(self.meter.account)
        outcome = self.meter.apply(Tick())
        assert (outcome.entries, outcome.requests, outcome.notices) == ([], [], [])
        assert encode(self.meter.account) == before

    def teardown(self) -> None:
        """From every state there is a way back to ready, and in the end the books of both sides agree."""
        if self.meter.in_flight is not None:
            event(f"ends in flight, attempt {min(self.meter.account.recharge.attempt, 3)}")
            self.provider.book.setdefault(self.meter.in_flight, "succeeded")
        for recharge_id in list(self.provider.book):
            self.deliver(recharge_id)
        event("ends suspended" if self.suspended else f"ends with {self.failures} failures")
        while self.meter.in_flight is not None:
            self.provider.book[self.meter.in_flight] = "succeeded"
            self.deliver(self.meter.in_flight)
        assert self.credited == self.provider.taken()
        asked = len(self.provider.asked)
        self.save(50, 20, enabled=True, per_day=1000, per_month=None, units=None)
        while self.meter.in_flight is None:
            self.spend(1000)
        assert len(self.provider.asked) == asked + 1
        assert self.meter.in_flight == f"{TENANT}:{asked + 1}"


def recharges(outcome: Outcome) -> Iterator[Entry]:
    return (entry for entry in outcome.entries if entry.kind == "recharge")


AutopayMachine.TestCase.settings = settings(max_examples=400, stateful_step_count=30, deadline=None)
TestAutopay = AutopayMachine.TestCase
