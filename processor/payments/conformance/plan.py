"""What a worker under test is asked: seeded commands with repetitions, in a disorder that Kafka and the meter allow."""

from datetime import datetime, timedelta
from random import Random
from typing import Final

from msgspec import Struct, structs

from processor.domain.ledger import RechargeRequest

CURRENCIES: Final = ("USD", "EUR")
DUPLICATED: Final = 0.2
REASKED: Final = 0.3
DEADLINE: Final = timedelta(minutes=5)


class Plan(Struct, frozen=True, kw_only=True):
    """Commands by round. Each round is written in one transaction, and the worker is disturbed after each but the last.

    `aborted` are written in a transaction that is aborted: nobody may act on them. `afterwards` asks again for what
    has been answered, and then for one new recharge per tenant, whose answer tells that the repetitions were read.
    """

    rounds: list[list[RechargeRequest]]
    aborted: list[RechargeRequest]
    afterwards: list[RechargeRequest]

    @property
    def wanted(self) -> dict[str, RechargeRequest]:
        """The recharges that must be answered, by id."""
        return {each.recharge_id: each for part in (*self.rounds, self.afterwards) for each in part}


def make(run: str, seed: int, rounds: int, tenants: int, recharges: int, method: str, now: datetime) -> Plan:
    """Draws a plan; `run` is part of the tenants' names, so that no two runs share a recharge id."""
    dice = Random(seed)  # noqa: S311 - a test plan
    names = [f"conformance-{run}-{number:03}" for number in range(tenants)]
    currencies = {name: dice.choice(CURRENCIES) for name in names}

    def command(tenant: str, sequence: int) -> RechargeRequest:
        return RechargeRequest(
            recharge_id=f"{tenant}:{sequence}",
            tenant_id=tenant,
            sequence=sequence,
            attempt=1,
            amount_micros=10_000 * dice.randint(5_000, 50_000),
            currency=currencies[tenant],
            requested_at=now,
            deadline_at=now + DEADLINE,
            balance_micros=0,
            trigger_micros=20_000_000,
            payment_method_ref=method,
            caused_by=f"usage-{sequence}",
        )

    first = [command(name, sequence) for name in names for sequence in range(1, recharges + 1)]
    dice.shuffle(first)
    written = list(first)
    for each in first:
        # Anywhere: beside the first, in another round, or before it.
        if dice.random() < DUPLICATED:
            written.insert(dice.randrange(len(written) + 1), each)
        if dice.random() < REASKED:
            written.insert(dice.randrange(len(written) + 1), again(each))
    cuts = sorted(dice.sample(range(1, len(written)), rounds - 1))
    return Plan(
        rounds=[written[start:end] for start, end in zip([0, *cuts], [*cuts, len(written)], strict=True)],
        aborted=[command(name, recharges + 100) for name in names],
        afterwards=[again(each) for each in first if dice.random() < REASKED]
        + [command(name, recharges + 1) for name in names],
    )


def again(command: RechargeRequest) -> RechargeRequest:
    """Returns the command as the meter repeats it when its deadline passes: the same id, the next attempt."""
    return structs.replace(command, attempt=command.attempt + 1, deadline_at=command.deadline_at + DEADLINE)
