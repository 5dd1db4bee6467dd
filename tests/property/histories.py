"""Random but plausible histories of one account: what the topics could bring, in any order, at any time."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain

from hypothesis import strategies as st

from processor.contracts.inputs import identity
from processor.contracts.outputs import encode
from processor.domain.account import Account, check
from processor.domain.errors import InputRejected
from processor.domain.messages import Message, RechargeDecided
from processor.domain.metering import apply
from processor.domain.posting import Outcome
from processor.domain.tariff import Tariff
from tests.unit.builders import NOW, TENANT, UNIT, autopay, call, conference, decided, funded, row, tariff

ROWS = (
    row("44", 155_000),
    row("447", 33_333, initial_s=30, increment_s=6, connect_fee_micros=50_000),
    row("449", 0, allowed=False),
    row("33", 708_000, initial_s=1, increment_s=1),
    row("870", 9_000_000, country="ZZ"),
    row("49", 20_000, currency="EUR"),
    row("1800", 30_000, direction="inbound"),
)
NUMBERS = ("+442079460000", "+447911123456", "+4490911999", "+33123456789", "+870123456789")
UNPRICED = ("+493012345678", "+8612345678", "anonymous")

Step = tuple[Message, datetime]


def rates() -> Tariff:
    return tariff(*ROWS, suspend_after_failures=2, recharge_max_per_day=3)


@dataclass(frozen=True)
class Result:
    """A recharge result, as far as it can be said before the recharge is asked for."""

    back: int
    status: str
    off_micros: int
    age: timedelta

    def about(self, account: Account, now: datetime) -> RechargeDecided:
        asked = account.recharge
        amount = asked.amount_micros + self.off_micros
        return decided(
            f"{TENANT}:{asked.sequence - self.back}", self.status, amount_micros=amount, decided_at=now - self.age
        )


@dataclass(frozen=True)
class Usage:
    """A leg that has just ended, or somewhat earlier."""

    seconds: int
    number: str
    kind: str
    licensed: bool
    age: timedelta

    def about(self, _account: Account, now: datetime) -> Message:
        ended_at = now - self.age
        if self.kind == "conference":
            started = ended_at - timedelta(seconds=self.seconds)
            times = {"joined_at": started, "left_at": ended_at}
            return conference(self.seconds, remote_number=self.number, credits_licensed=self.licensed, **times)
        fields = {"callee": self.number, "credits_licensed": self.licensed}
        if self.kind == "toll_free":
            fields = {"call_type": "ucap_in", "number_type": "service_toll_free", "callee": "+18005550100"}
        return call(self.seconds, ended_at - timedelta(seconds=self.seconds), **fields)


@dataclass(frozen=True)
class Payment:
    """Funds added by hand, perhaps in the wrong currency or amount."""

    units: int
    currency: str
    age: timedelta

    def about(self, _account: Account, now: datetime) -> Message:
        return funded(self.units, now - self.age, self.currency)


@dataclass(frozen=True)
class Settings:
    """The auto-pay form, saved."""

    payment: int
    trigger: int
    enabled: bool
    units: int | None
    per_day: int | None
    per_month: int | None

    def about(self, _account: Account, _now: datetime) -> Message:
        cap = None if self.per_month is None else self.per_month * UNIT
        fields = {"enabled": self.enabled, "max_units": self.units, "max_per_day": self.per_day}
        return autopay(self.payment, self.trigger, max_per_month_micros=cap, **fields)


@dataclass(frozen=True)
class Again:
    """A delivery that is repeated."""

    which: int


def ages(*days: float) -> st.SearchStrategy[timedelta]:
    return st.sampled_from([timedelta(days=count) for count in days])


usage = st.builds(
    Usage,
    st.one_of(st.integers(0, 400), st.integers(0, 200_000)),
    st.sampled_from([*NUMBERS, *NUMBERS, *UNPRICED]),
    st.sampled_from(["call", "conference", "toll_free"]),
    st.sampled_from([True, True, True, False]),
    ages(0, 0, 0, 1, 40),
)
payments = st.builds(
    Payment,
    st.one_of(st.integers(50, 500), st.integers(-10, 60)),
    st.sampled_from(["USD", "USD", "USD", "EUR"]),
    ages(0, 0, 100, 364, 365, 400, -1),
)
settings_ = st.builds(
    Settings,
    st.sampled_from([50, 50, 75, 49]),
    st.sampled_from([0, 20, 100, -1]),
    st.sampled_from([True, True, True, False]),
    st.sampled_from([None, 1, 3]),
    st.sampled_from([None, 1, 20]),
    st.sampled_from([None, 0, 100, 1000]),
)
results = st.builds(
    Result,
    st.sampled_from([0, 0, 0, 0, 0, 0, 1, -1]),
    st.sampled_from(["succeeded", "declined", "failed"]),
    st.sampled_from([0, 0, 0, 0, 0, 0, 1]),
    ages(0, 0, 1, 366),
)
pauses = st.sampled_from([timedelta(seconds=1), timedelta(hours=1), timedelta(days=1), timedelta(days=31)])
again = st.builds(Again, st.integers(0, 100))
declined = Result(0, "declined", 0, timedelta())
two_declines = [declined, timedelta(days=1), Usage(60, NUMBERS[0], "call", True, timedelta()), declined]
single = st.one_of(usage, usage, usage, payments, settings_, results, results, results, pauses, pauses, again)
steps = st.one_of(*[single.map(lambda step: [step])] * 9, st.just(two_declines))
on = Settings(50, 20, True, None, None, None)
openings = st.sampled_from([[], [on], [Payment(50, "USD", timedelta()), on], [Payment(50, "USD", timedelta())]])
histories = st.builds(
    lambda opening, rest: [*opening, *chain.from_iterable(rest)],
    openings,
    st.one_of(st.lists(steps, max_size=10), st.lists(steps, min_size=15, max_size=40)),
)
"""Steps to be run with `resolve`; a `timedelta` lets time pass."""


def resolve(history: list) -> list[Step]:
    """Turns a history into messages with the time at which each is applied; results know what was asked for."""
    run, now, resolved = Run(), NOW, []
    for step in history:
        if isinstance(step, timedelta):
            now += step
            continue
        if isinstance(step, Again):
            if not resolved:
                continue
            message = resolved[step.which % len(resolved)][0]
        else:
            message = step.about(run.account, now)
        resolved.append((message, now))
        run.take(message, now)
    return resolved


@dataclass
class Run:
    """An account with the de-duplication in front that the stream has; every step leaves its books in order."""

    account: Account = field(default_factory=lambda: Account(tenant_id=TENANT, currency="USD"))
    tariff: Tariff = field(default_factory=rates)
    seen: set[bytes] = field(default_factory=set)
    outcomes: list[Outcome] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)

    def take(self, message: Message, now: datetime) -> Outcome | None:
        """Applies a message unless its event was applied before; None when there was nothing to apply."""
        event = identity(message.source, message.id)
        if event in self.seen:
            return None
        try:
            outcome = apply(self.account, message, self.tariff, now)
        except InputRejected as rejected:
            self.rejected.append(rejected.reason)
            return None
        self.seen.add(event)
        self.outcomes.append(outcome)
        check(self.account)
        return outcome

    def take_all(self, steps: list[Step]) -> "Run":
        for message, now in steps:
            self.take(message, now)
        return self

    def state(self) -> bytes:
        """Everything that the world sees of the run."""
        return encode([self.account, self.outcomes])
