"""A payment worker that is killed after any step of its protocol charges once and publishes once."""

import signal
from typing import get_args

from processor.payments.cashier import Step
from processor.payments.inbox import Inbox
from processor.payments.simulated import SimulatedProvider
from tests.postgres import postgres, server
from tests.stream import dying_payment_worker
from tests.stream.payment_world import AMOUNT, DEADLINE_S, Cashiers, Meter, cashiers, meter, request, until

__all__ = ["cashiers", "meter", "postgres", "server"]


def test_after_deaths_at_every_step_the_books_of_the_provider_equal_the_results(
    meter: Meter, cashiers: Cashiers
) -> None:
    inbox = f"sqlite:///{cashiers.directory}/inbox.sqlite"
    arguments = mortal(cashiers, "one", inbox)
    wanted = []
    for sequence, step in enumerate([*get_args(Step), "none"], 1):
        wanted += [f"t{tenant}:{sequence}" for tenant in range(4)]
        meter.ask([request(f"t{tenant}", sequence) for tenant in range(4)])
        # A batch passes the last two steps once, the others once per charge: die in the middle.
        times = "1" if step in ("produced", "committed") else "3"
        process = cashiers.run([*arguments, step, times])
        if step != "none":
            assert process.wait(DEADLINE_S) == -signal.SIGKILL, cashiers.log()
    until(lambda: len(meter.results()) >= len(wanted) and unpublished(inbox) == [], cashiers.log)
    process.kill()

    assert meter.ids() == dict.fromkeys(wanted, 1)
    results = {each.data.recharge_id: (each.data.status, each.data.amount_micros) for each in meter.results()}
    assert results == dict.fromkeys(wanted, ("succeeded", AMOUNT))
    provider = SimulatedProvider(str(cashiers.books))
    books = {key: (status, amount) for key, status, amount, _ in provider.charges()}
    provider.close()
    assert books == results
    # Only the death between the charge and its note in the inbox makes the provider be asked twice.
    assert sorted(cashiers.charged().values()) == [1] * (len(wanted) - 1) + [2]


def test_a_worker_that_takes_over_publishes_what_the_shared_inbox_knows_and_asks_nobody_again(
    meter: Meter, cashiers: Cashiers, postgres: str
) -> None:
    meter.ask([request("t1", 1)])
    first = cashiers.run([*mortal(cashiers, "one", postgres), "decided", "1"])
    assert first.wait(DEADLINE_S) == -signal.SIGKILL, cashiers.log()
    elsewhere = Cashiers(cashiers.brokers, cashiers.directory)
    elsewhere.running = cashiers.running
    elsewhere.group, elsewhere.books = cashiers.group, cashiers.directory / "other-books.sqlite"
    second = elsewhere.run([*mortal(elsewhere, "two", postgres), "none", "1"], "two")
    until(lambda: meter.ids() == {"t1:1": 1}, lambda: elsewhere.log("two"))
    second.kill()
    assert cashiers.charged() == {"t1:1": 1}
    assert elsewhere.charged() == {}


def mortal(cashiers: Cashiers, instance: str, inbox: str) -> list[str]:
    script = dying_payment_worker.__file__
    return [script, cashiers.brokers, cashiers.group, instance, inbox, str(cashiers.books)]


def unpublished(url: str) -> list[str]:
    inbox = Inbox(url)
    found = inbox.unpublished()
    inbox.close()
    return found
