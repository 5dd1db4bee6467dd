"""The demo's parts as processes that a drill can disturb, and a Prometheus that watches them."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any, Final, Self

import httpx
from confluent_kafka import Producer

from drills.parts import Part
from drills.prometheus import Prometheus
from processor.cli.reading import read_committed
from processor.embedded.broker import HOST, EmbeddedBroker, free_port
from processor.stream import topics as stream_topics

PARTITIONS: Final = 8
LOOK_S: Final = 0.2
"""Between two looks at a condition."""
UP_S: Final = 120.0
RESTART_PAUSE_S: Final = 1.0
LIBFAKETIME: Final = "faketime/libfaketimeMT.so.1"


class DrillFailed(Exception):  # noqa: N818
    """A condition was not met in time."""


class World:
    """A broker with its topics, a worker, a payment worker and an auditor, and Prometheus.

    The three are started by a drill, which chooses their settings (`work`, `pay`, `audit`), and again when they end.
    `conf` connects librdkafka's clients. Windows of the rules are divided by `factor`; waiting ends when `stop` is set.
    """

    def __init__(self, directory: Path, factor: int, stop: Event) -> None:
        self.directory, self._stop = directory, stop
        self._ports = {f"credits-{name}": free_port() for name in ("worker", "payment-worker", "auditor")}
        self.broker = EmbeddedBroker()
        self.conf: dict[str, Any] = {"bootstrap.servers": self.broker.bootstrap, "log_level": 3}
        self.prometheus = Prometheus(directory / "prometheus", self._ports, factor)
        self.worker, self.payments, self.auditor = self._worker({}), self._payment_worker(), self._auditor()
        self._platforms: list[Part] = []
        self._ended_at: dict[Part, float] = {}

    def __enter__(self) -> Self:
        self.broker.start()
        try:
            stream_topics.apply(self.broker.bootstrap, PARTITIONS, 1)
            self.prometheus.__enter__()
        except BaseException:
            self.broker.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for part in (*self._platforms, self.auditor, self.payments, self.worker):
            part.kill()
        self.prometheus.__exit__()
        self.broker.stop()

    # -- the parts --

    def work(self, **settings: object) -> None:
        """Starts the worker, or starts it again with these settings, `transaction_timeout_s=60`."""
        self.worker.end()
        self.worker = self._worker({f"CREDITS_{name.upper()}": str(value) for name, value in settings.items()})
        self.worker.start()

    def work_with_clock(self, offset: Path) -> None:
        """Starts the worker with a clock that is as wrong as `offset` says, `+20` seconds, whenever that changes."""
        library = next(Path("/usr/lib").glob(f"*/{LIBFAKETIME}"), None)
        if library is None:
            raise DrillFailed("there is no libfaketime here: apt-get install faketime")
        clock = {"FAKETIME_TIMESTAMP_FILE": str(offset), "FAKETIME_CACHE_DURATION": "1"}
        self.worker = self._worker({"LD_PRELOAD": str(library), "FAKETIME_DONT_FAKE_MONOTONIC": "1", **clock})
        self.worker.start()

    def pay(self, *options: str) -> None:
        """Starts the payment worker, or starts it again with these options."""
        self.payments.end()
        self.payments = self._payment_worker(*options)
        self.payments.start()

    def audit(self) -> None:
        """Starts the auditor, or starts it again."""
        self.auditor.end()
        self.auditor.start()

    def platform(self, *options: str) -> Part:
        """Starts one more telephony platform: `credits simulate` with these options."""
        started = self._part("simulate", *options)
        self._platforms.append(started)
        started.start()
        return started

    def credits(self, *arguments: str) -> None:
        """Runs a command of `credits` as an operator would; raises `DrillFailed` with what it said."""
        done = self._run(*arguments)
        if done.returncode:
            raise DrillFailed(f"`credits {arguments[0]}` ended with {done.returncode}: {done.stderr.strip()}")

    def drifts(self) -> int:
        """Returns what `credits verify` finds."""
        done = self._run("verify", "--json")
        if not done.stdout:
            raise DrillFailed(f"`credits verify` ended with {done.returncode}: {done.stderr.strip()}")
        return int(json.loads(done.stdout)["drifts"])

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "processor.cli", *arguments, "--brokers", self.broker.bootstrap]
        return subprocess.run(line, capture_output=True, text=True, check=False)

    def _worker(self, environment: dict[str, str]) -> Part:
        port = str(self._ports["credits-worker"])
        return self._part("worker", "--processes", "1", "--metrics-port", port, environment=environment)

    def _payment_worker(self, *options: str) -> Part:
        port = str(self._ports["credits-payment-worker"])
        return self._part("payment-worker", "--latency", "0.05", "--metrics-port", port, *options)

    def _auditor(self) -> Part:
        return self._part("verify", "--follow", "--every", "2", "--metrics-port", str(self._ports["credits-auditor"]))

    def _part(self, command: str, *options: str, environment: dict[str, str] | None = None) -> Part:
        data_dir = ["--data-dir", str(self.directory / command)] if command.endswith("worker") else []
        line = [sys.executable, "-m", "processor.cli", command, "--brokers", self.broker.bootstrap, *data_dir, *options]
        return Part(line, self.directory / f"{command}.log", environment)

    # -- the topics --

    def produce(self, topic: str, records: list[tuple[str, bytes]]) -> None:
        """Writes records of keys and values, as any program with the right to do so could."""
        producer = Producer({**self.conf, "partitioner": "murmur2_random"})
        for key, value in records:
            producer.produce(topic, value, key)
        if producer.flush(30):
            raise DrillFailed(f"{topic} did not take its records")

    def left_open(self, topic: str, key: str, timeout_s: int) -> Producer:
        """Writes a record in a transaction that nobody will end but the broker; keep what is returned until then."""
        producer = Producer(
            {**self.conf, "transactional.id": "drill", "transaction.timeout.ms": timeout_s * 1000, "linger.ms": 0}
        )
        producer.init_transactions(30)
        producer.begin_transaction()
        written = Event()
        producer.produce(topic, b"{}", key, on_delivery=lambda *_: written.set())
        while not written.is_set():
            producer.poll(LOOK_S)
        return producer

    def values(self, topic: str, key: str) -> list[bytes]:
        """Reads the committed values of a key, oldest first."""
        return [
            value
            for record in read_committed(self.conf, topic)
            if record.key() == key.encode() and (value := record.value()) is not None
        ]

    # -- waiting --

    def until(self, what: str, condition: Callable[[], bool], patience_s: float = UP_S) -> None:
        """Waits for a condition.

        What has ended by itself meanwhile is started again, as systemd or Kubernetes would. Raises `DrillFailed`.
        """
        began = time.monotonic()
        while not condition():
            if self._stop.is_set():
                raise DrillFailed("stopped by a signal")
            if time.monotonic() - began > patience_s:
                raise DrillFailed(f"not within {patience_s:.0f} s: {what}\n{self.worker.last_words()}")
            self._tend()
            time.sleep(LOOK_S)

    def up(self) -> bool:
        """Tells whether both workers are scraped and the worker is ready."""
        two = 'count(up{job=~"credits-.*worker"} == 1) == 2'
        return self.prometheus.answers() and self.metric(two) and self._ready()

    def calm(self) -> bool:
        """Tells whether everything is up and usage has been charged."""
        return self.up() and self.metric('sum(credits_events_total{outcome="charged"}) > 0')

    def metric(self, expression: str) -> bool:
        """Tells whether an expression holds in Prometheus."""
        return self.prometheus.has_data(expression)

    def pause(self, seconds: float) -> None:
        """Lets so much time pass: where the length of a fault is the fault."""
        until = time.monotonic() + seconds
        self.until(f"{seconds:.0f} s have passed", lambda: time.monotonic() >= until, seconds + 1)

    def _ready(self) -> bool:
        try:
            answer = httpx.get(f"http://{HOST}:{self._ports['credits-worker']}/ready", timeout=2)
        except httpx.TransportError:
            return False
        return answer.is_success

    def _tend(self) -> None:
        for part in (self.worker, self.payments, self.auditor):
            if part.wanted and not part.running:
                ended_at = self._ended_at.setdefault(part, time.monotonic())
                if time.monotonic() - ended_at > RESTART_PAUSE_S:
                    del self._ended_at[part]
                    part.start()
