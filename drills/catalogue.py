"""The drills, one per alert: a generator that yields when all is well and when the fault is there, and then mends it.

What is before the first `yield` sets the scene, between the two is the cause, behind the second the mitigation. The
text of the mitigation stands in the alert's runbook.
"""

import json
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from drills.parts import Part, freeze, wake
from drills.world import World
from processor.contracts import topics

Steps = Callable[[World], Iterator[None]]

HOUR_IS_A_MINUTE: Final = 60
UNIT: Final = 1_000_000
TENANT: Final = "tenant-00001"


class Drill(NamedTuple):
    """A fault, the alert that must tell of it, and what the runbook does about it."""

    name: str
    alert: str
    cause: str
    mitigation: str
    steps: Steps
    factor: int
    """By which the windows of the rules are divided."""


DRILLS: Final[dict[str, Drill]] = {}


def drill(alert: str, mitigation: str, factor: int = HOUR_IS_A_MINUTE) -> Callable[[Steps], Steps]:
    """Adds a drill to the catalogue; its name and its cause are those of the function and of its docstring."""

    def add(steps: Steps) -> Steps:
        name = getattr(steps, "__name__").replace("_", "-")  # noqa: B009 - a Callable need not have one
        cause = (steps.__doc__ or "").strip().splitlines()[0].rstrip(".")
        DRILLS[name] = Drill(name, alert, cause, mitigation, steps, factor)
        return steps

    return add


def begin(world: World, *platform: str, **settings: object) -> Part:
    """Starts worker, payment worker and, when they are up, a platform that opens accounts for 200 tenants."""
    world.work(**settings)
    world.pay()
    return traffic(world, *platform)


def traffic(world: World, *platform: str) -> Part:
    """Waits until the workers are up: what had to wait for them would be late."""
    world.until("both workers are up", world.up)
    return world.platform("--open", "--tenants", "200", *platform)


@drill("CreditsFreshnessBudgetBurnFast", "After an outage: wait, the backlog is worked off.")
def broker_frozen(world: World) -> Iterator[None]:
    """The broker hangs for 15 s under full traffic."""
    begin(world, "--rate", "200")
    yield
    freeze(world.broker.pid)
    world.pause(15)
    wake(world.broker.pid)
    yield


@drill("CreditsFreshnessBudgetBurnSlow", "After one incident that is over: nothing, the window passes.", factor=240)
def worker_away_at_night(world: World) -> Iterator[None]:
    """The worker is away for 20 s while few calls are made."""
    begin(world, "--events", "3000", "--rate", "200")
    world.platform("--rate", "1")
    yield
    world.worker.kill()
    world.pause(20)
    world.worker.start()
    yield


@drill("CreditsInvariantViolated", "write the value before it once more under the same key")
def state_tampered_with(world: World) -> Iterator[None]:
    """A foreign program writes a balance to account.state.v1 that nobody has paid for."""
    begin(world, "--tenants", "20", "--rate", "50")
    world.audit()
    yield
    world.worker.end()
    right = world.values(topics.ACCOUNT_STATE, TENANT)[-1]
    wrong = json.loads(right)
    wrong["balance_micros"] += 500 * UNIT
    world.produce(topics.ACCOUNT_STATE, [(TENANT, json.dumps(wrong).encode())])
    world.worker.start()
    world.until("a worker has stopped itself over it", lambda: world.metric("credits_invariant_violations_total > 0"))
    yield
    world.worker.end()
    world.produce(topics.ACCOUNT_STATE, [(TENANT, right)])
    world.worker.start()
    world.audit()


@drill("CreditsWorkerDown", "Start it again under its own data directory")
def worker_killed(world: World) -> Iterator[None]:
    """The worker is killed and nobody starts it."""
    begin(world, "--rate", "50")
    yield
    world.worker.kill()
    yield
    world.worker.start()


@drill("CreditsHeartbeatStalled", "Brokers: mend them.")
def commit_unanswered(world: World) -> Iterator[None]:
    """The broker hangs, and the worker is patient enough to wait for its commit."""
    begin(world, "--rate", "50", transaction_timeout_s=120, session_timeout_s=60)
    yield
    freeze(world.broker.pid)
    yield
    wake(world.broker.pid)


@drill("CreditsLagKeepsIncreasing", "A replay: let it run, or pace the producer.", factor=20)
def replay_too_fast(world: World) -> Iterator[None]:
    """A producer replays ten times what a worker with tiny transactions can do."""
    begin(world, "--tenants", "20", "--rate", "2", batch_max_events=1)
    yield
    replay = world.platform("--rate", "1000")
    yield
    replay.end()


@drill("CreditsDeadLettersRising", "the producer's last release")
def poison(world: World) -> Iterator[None]:
    """A producer's new release sends what is no JSON."""
    begin(world, "--rate", "50")
    yield
    world.produce(topics.USAGE_CALL, [(TENANT, b"<call/>")] * 50)
    yield  # the release before is back: nothing more of it comes


@drill("CreditsRechargeResultParked", "`credits adjust` adds the amount, with the recharge's id as the reason")
def declined_then_succeeded(world: World) -> Iterator[None]:
    """The provider declines a payment, and says later that it has succeeded."""
    begin(world, "--rate", "20")
    yield
    world.pay("--decline-rate", "1")
    world.credits("autopay", "acme", "--amount", "50", "--trigger", "20")
    world.until("the payment is declined", lambda: world.metric('sum(credits_recharge_total{outcome="declined"}) > 0'))
    [result] = [json.loads(value) for value in world.values(topics.RECHARGE_RESULTS, "acme")]
    result["id"] += "-after-all"
    result["data"]["status"] = "succeeded"
    world.produce(topics.RECHARGE_RESULTS, [("acme", json.dumps(result).encode())])
    yield
    world.credits("adjust", "acme", "50", "--reason", result["data"]["recharge_id"])


@drill("CreditsRechargeUnresolved", "Payment worker down: start it")
def payment_worker_stopped(world: World) -> Iterator[None]:
    """The payment worker is stopped while payments are due."""
    begin(world, "--rate", "20")
    yield
    world.payments.end()
    world.credits("autopay", "acme", "--amount", "50", "--trigger", "20")
    yield
    world.payments.start()


@drill("CreditsRechargeBurst", "switch the tenant's auto-pay off")
def card_run_up(world: World) -> Iterator[None]:
    """A few tenants use up one payment after the other."""
    begin(world, "--rate", "20")
    yield
    misuse = world.platform("--rate", "300", "--tenants", "3")
    yield
    misuse.end()
    for number in (1, 2, 3):
        world.credits("autopay", f"tenant-{number:05}", "--off")


@drill("CreditsBelowTriggerNotRequested", "with the tenant's settings as they are makes the meter look again at once")
def limit_relaxed(world: World) -> Iterator[None]:
    """A limit held a payment back and was relaxed, and the tenant sends nothing."""
    begin(world, "--rate", "20", recharge_max_per_day=1)
    autopay = ("autopay", "quiet", "--amount", "50", "--trigger", "20")
    yield
    world.credits(*autopay)  # the day's only payment
    world.until("it is paid", lambda: b'"balance_micros":50000000' in world.values(topics.ACCOUNT_STATE, "quiet")[-1])
    world.credits("adjust", "quiet", "-40", "--reason", "drill")
    world.work(recharge_max_per_day=10)
    yield
    world.credits(*autopay)


@drill("CreditsAutopaySuspensionsRising", "Provider: mend it, then reset auto-pay of each tenant")
def cards_declined(world: World) -> Iterator[None]:
    """The provider declines every card, three times in a row."""
    begin(world, "--rate", "20", recharge_backoff_s=1, recharge_backoff_max_s=1)
    tenants = [f"tenant-{number:05}" for number in range(1, 9)]
    yield
    world.pay("--decline-rate", "1")
    heavy = world.platform("--rate", "200", "--tenants", str(len(tenants)))
    yield
    heavy.end()
    world.pay()
    for tenant in tenants:
        world.credits("reset", tenant)


@drill("CreditsOverdraftRising", "Payments stuck: see there.")
def calls_unpaid(world: World) -> Iterator[None]:
    """Payments stand still, and calls go on."""
    begin(world, "--rate", "300", "--tenants", "20")
    hour_ago = "credits_overdraft_micros offset 60s"
    world.until("overdrafts have been watched for an hour of the rules", lambda: world.metric(hour_ago))
    yield
    world.payments.end()
    yield
    world.payments.start()


@drill("CreditsRecoverySlow", "restart the worker and see that the next rebuild is quick")
def transaction_left_open(world: World) -> Iterator[None]:
    """A worker dies in a transaction that the broker ends after 140 s only, and another takes over."""
    begin(world, "--rate", "20")
    yield
    left_open = world.left_open(topics.ACCOUNT_STATE, TENANT, timeout_s=140)
    world.work()
    yield
    del left_open
    world.work()


@drill("CreditsDuplicateRatioHigh", "let it wait for acknowledgements")
def producer_repeats(world: World) -> Iterator[None]:
    """A producer sends every other record twice."""
    begin(world, "--rate", "50", "--duplicates", "0")
    yield
    repeating = world.platform("--rate", "50", "--duplicates", "0.5")
    yield
    repeating.end()


@drill("CreditsClockSkew", "Start time synchronisation")
def clock_ahead(world: World) -> Iterator[None]:
    """The clock of the worker's machine goes 20 s ahead."""
    offset = world.directory / "clock"
    offset.write_text("+0")
    world.work_with_clock(offset)
    world.pay()
    traffic(world, "--rate", "50")
    yield
    offset.write_text("+20")
    yield
    offset.write_text("+0")
