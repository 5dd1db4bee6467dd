"""Asks the provider about many tenants at once, and about one tenant in the order of its commands."""

import random
import time
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Final, Literal

from msgspec import Struct

from processor.payments.counters import Payments
from processor.payments.inbox import CARD_CHANGED, Inbox
from processor.payments.provider import Charge, Decision, PaymentProvider, ProviderTimeout

FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 2.0
LOOK_S: Final = 0.1

Step = Literal["charging", "charged", "decided", "produced", "committed"]
"""A point that a recharge, or its batch, has passed; see the docstring of the worker."""
OnStep = Callable[[Step], None]


class _Answers(Struct):
    """What became of one tenant's charges."""

    decisions: dict[str, Decision]
    error: BaseException | None = None


class _Order(Struct):
    """One tenant's charges in their order, the monotonic time after which none is begun, and where the answers go."""

    charges: list[Charge]
    deadline: float
    answers: SimpleQueue[_Answers]


class Cashier:
    """Takes charges through the provider and into the inbox, in threads of its own.

    The threads are daemons: a provider that hangs cannot keep a process alive that was told to stop. What it is asked
    then is `charging` in the inbox and asked again at the next start.

    `patience_s` is for one charge, `batch_s` for a whole batch: what is left then waits for the next one, so that a
    slow provider does not keep the worker from its group.
    """

    def __init__(
        self,
        provider: PaymentProvider,
        inbox: Inbox,
        payments: Payments,
        stop: Event,
        *,
        concurrency: int,
        patience_s: float,
        batch_s: float,
        grace_s: float,
        on_step: OnStep,
    ) -> None:
        self._provider, self._inbox, self._payments, self._stop = provider, inbox, payments, stop
        self._patience_s, self._batch_s, self._grace_s, self._on_step = patience_s, batch_s, grace_s, on_step
        self._todo: SimpleQueue[_Order] = SimpleQueue()
        for number in range(concurrency):
            Thread(target=self._work, name=f"charge-{number}", daemon=True).start()

    def charge(self, charges: Iterable[Charge]) -> dict[str, Decision]:
        """Returns the decisions by recharge id; what is missing was not answered, or not asked, in time.

        After `batch_s` no question is begun, so this takes at most one question longer. An exception other than a
        timeout is raised here once every thread has come back. After `stop` no charge is begun, and those under way are
        waited for until the grace ends.
        """
        tenants: dict[str, dict[str, Charge]] = {}
        for charge in charges:
            tenants.setdefault(charge.tenant_id, {}).setdefault(charge.recharge_id, charge)
        answers: SimpleQueue[_Answers] = SimpleQueue()
        deadline = time.monotonic() + self._batch_s
        orders = [_Order(list(asked.values()), deadline, answers) for asked in tenants.values()]
        random.shuffle(orders)  # so that those without an answer do not keep the same others waiting in every batch
        for order in orders:
            self._todo.put(order)
        decisions: dict[str, Decision] = {}
        error: BaseException | None = None
        waiting, stopped_at = len(tenants), None
        while waiting:
            try:
                answer = answers.get(timeout=LOOK_S)
            except Empty:
                stopped_at = stopped_at or (time.monotonic() if self._stop.is_set() else None)
                if stopped_at is not None and time.monotonic() - stopped_at > self._grace_s:
                    break
                continue
            waiting -= 1
            decisions |= answer.decisions
            error = error or answer.error
        if error is not None:
            raise error
        return decisions

    def _work(self) -> None:
        while True:
            order = self._todo.get()
            answer = _Answers({})
            try:
                for charge in order.charges:
                    late = self._stop.is_set() or time.monotonic() > order.deadline
                    decision = None if late else self._settle(charge, order.deadline)
                    if decision is None:
                        break
                    answer.decisions[charge.recharge_id] = decision
            except Exception as error:  # noqa: BLE001 - handed to the thread that asked, which raises it
                answer.error = error
            order.answers.put(answer)

    def _settle(self, charge: Charge, deadline: float) -> Decision | None:
        """Takes one charge from `received` to `decided`; None when patience or the batch ends without an answer."""
        self._inbox.charging(charge.recharge_id)
        self._on_step("charging")
        decision = self._ask(charge, deadline)
        if decision is None:
            return None
        self._on_step("charged")
        stored = self._inbox.decide(charge.recharge_id, decision)
        if stored.reason_code == CARD_CHANGED:
            self._payments.card_changed(charge.recharge_id)
        self._on_step("decided")
        return stored

    def _ask(self, charge: Charge, deadline: float) -> Decision | None:
        """Repeats the question under the same key until there is an answer; None when patience or the batch ends."""
        deadline, pause_s = min(deadline, time.monotonic() + self._patience_s), FIRST_PAUSE_S
        while True:
            try:
                with self._payments.asking():
                    return self._provider.charge(charge)
            except ProviderTimeout as error:
                self._payments.timed_out(charge.recharge_id, error)
                if time.monotonic() + pause_s > deadline or self._stop.wait(pause_s):
                    return None
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
