"""A broker that goes away, or the network to it: the worker gets over it or ends and says why.

The timeouts are 3 s where a worker's own are 10 s: frozen for 18 s here is frozen for 60 s there.
"""

import os
import signal
from pathlib import Path

from processor.embedded.broker import EmbeddedBroker
from tests.crash.meters import EVENTS, PATIENT, SHORT, MeterAt, usage
from tests.crash.workers import drained, lag, wait_until


def test_a_broker_that_is_restarted_under_load_is_waited_for_or_ends_the_worker_with_75(
    own: EmbeddedBroker, tmp_path: Path, meter_at: MeterAt
) -> None:
    meter = meter_at(own.bootstrap, tmp_path / "a", **PATIENT)
    with usage(own.bootstrap) as platform:
        meter.start()
        wait_until("some input committed", lambda: lag(own.bootstrap) < EVENTS)
        own.restart()
        platform.send(EVENTS)
        drained(own.bootstrap, meter)
        assert meter.terminate() == 0
        assert set(meter.deaths) <= {75, 0}


def test_a_broker_frozen_for_six_transaction_timeouts_ends_the_worker_with_75(
    own: EmbeddedBroker, tmp_path: Path, meter_at: MeterAt
) -> None:
    """The worker waits for two of them, then its supervisor starts it again and again."""
    meter = meter_at(own.bootstrap, tmp_path / "a", **SHORT)
    with usage(own.bootstrap):
        meter.start("B4:2:freeze")
        wait_until("the worker is inside a transaction", meter.frozen)
        os.kill(own.pid, signal.SIGSTOP)
        meter.signal(signal.SIGCONT)
        meter.ends_over("broker_unreachable")
        meter.start()
        assert meter.ended() == 75
        assert "broker cannot be reached" in meter.log()
        os.kill(own.pid, signal.SIGCONT)
        meter.goes_on("broker_unreachable")
