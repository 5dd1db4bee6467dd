"""Runs a payment worker that kills itself: BROKERS GROUP DIRECTORY BOOKS STEP TIMES, at the TIMES-th STEP."""

import os
import signal
import sys
from pathlib import Path

from processor.payments.cashier import Step
from processor.payments.inbox import Inbox
from processor.payments.simulated import Behaviour, SimulatedProvider
from processor.payments.worker import Limits, PaymentWorker
from processor.settings import Settings


def main(brokers: str, group: str, directory: str, books: str, fatal: str, times: str) -> None:
    left = int(times)

    def on_step(step: Step) -> None:
        nonlocal left
        left -= step == fatal
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    Path(directory).mkdir(exist_ok=True)
    provider = SimulatedProvider(books, Behaviour(latency_s=0))
    inbox = Inbox(f"sqlite:///{directory}/inbox.sqlite")
    conf = Settings(brokers=brokers).kafka_python()
    limits = Limits(concurrency=1)  # so that a death concerns one charge
    PaymentWorker(conf, provider, inbox, group=group, instance="mortal", limits=limits, on_step=on_step).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
