"""A network that is cut between a worker and its broker: short, and the worker waits; long, and another one goes on."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from processor.embedded.broker import HOST, EmbeddedBroker, free_port
from tests.crash.meters import EVENTS, SHORT, MeterAt, declared, usage
from tests.crash.proxy import Proxy
from tests.crash.workers import drained, lag, wait_until
from tests.stream.test_worker import metrics


@pytest.fixture
def proxy(kafka_fetched: None) -> Iterator[Proxy]:
    """The way to a listener of the broker, which tells its clients no other."""
    with Proxy(free_port()) as running:
        yield running


@pytest.fixture
def broker(proxy: Proxy) -> Iterator[EmbeddedBroker]:
    """A broker with every topic and a second listener behind the proxy."""
    port, controller = free_port(), free_port()
    listeners = {"CLIENTS": port, "PROXIED": proxy.target, "CONTROLLER": controller}
    advertised = {"CLIENTS": port, "PROXIED": proxy.port}
    properties = {
        "listeners": at(listeners),
        "advertised.listeners": at(advertised),
        "controller.quorum.voters": f"1@{HOST}:{controller}",
        "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in listeners),
    }
    with declared(EmbeddedBroker(port, properties=properties)) as running:
        yield running


def at(ports: dict[str, int]) -> str:
    return ",".join(f"{name}://{HOST}:{port}" for name, port in ports.items())


def test_a_network_that_is_cut_inside_a_transaction_is_waited_for_or_ends_the_worker_with_75(
    broker: EmbeddedBroker, proxy: Proxy, tmp_path: Path, meter_at: MeterAt
) -> None:
    meter = meter_at(proxy.bootstrap, tmp_path / "a", **SHORT)

    def told() -> bool:
        counted = metrics(meter.port).get("credits_broker_errors_total", 0)
        return not meter.running() or (counted > 0 and "broker out of reach, trying again" in meter.log())

    with usage(broker.bootstrap):
        meter.start("B4:2:freeze")
        wait_until("the worker is inside a transaction", meter.frozen)
        proxy.cut()
        meter.signal(signal.SIGCONT)
        wait_until("it says and counts it", told)
        proxy.mend()
        drained(broker.bootstrap, meter)
        assert meter.terminate() == 0
        assert set(meter.deaths) <= {75, 0}


def test_a_worker_behind_a_network_that_swallows_everything_ends_and_another_one_takes_over(
    broker: EmbeddedBroker, proxy: Proxy, tmp_path: Path, meter_at: MeterAt
) -> None:
    lonely = meter_at(proxy.bootstrap, tmp_path / "lonely")
    near = meter_at(broker.bootstrap, tmp_path / "near")
    with usage(broker.bootstrap) as platform:
        lonely.start()
        wait_until("some input committed", lambda: lag(broker.bootstrap) < EVENTS)
        proxy.swallow()
        platform.send(EVENTS)
        near.start()
        drained(broker.bootstrap, near)
        # Without an answer to its commit, or because its session is over.
        cause = lonely.ends_over("broker_unreachable", "fenced")
        proxy.mend()
        lonely.start()
        lonely.has_stopped_over(cause)
        platform.send(EVENTS)
        drained(broker.bootstrap, near, lonely)
        near.kill()
        lonely.kill()
