"""Runs a payment worker that kills itself: BROKERS GROUP INSTANCE INBOX BOOKS STEP TIMES TROUBLE, at the TIMES-th STEP.

TROUBLE is the share of charges that the provider declines, and of those whose first answer is lost.
"""

import os
import signal
import sys

from processor.payments.cashier import Step
from processor.payments.inbox import Inbox
from processor.payments.simulated import Behaviour, SimulatedProvider
from processor.payments.worker import Limits, PaymentWorker
from processor.settings import Settings


def main(
    brokers: str, group: str, instance: str, inbox_url: str, books: str, fatal: str, times: str, trouble: str = "0"
) -> None:
    left = int(times)

    def on_step(step: Step) -> None:
        nonlocal left
        left -= step == fatal
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    provider = SimulatedProvider(
        books, Behaviour(latency_s=0, decline_rate=float(trouble), lost_answers=float(trouble))
    )
    inbox = Inbox(inbox_url)
    conf = Settings(brokers=brokers).kafka_python()
    limits = Limits(concurrency=1, session_timeout_s=3)  # a death concerns one charge, and is over soon
    PaymentWorker(conf, provider, inbox, group=group, instance=instance, limits=limits, on_step=on_step).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
