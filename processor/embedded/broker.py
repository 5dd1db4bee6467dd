"""A single-node Kafka broker as a child process, guarded against outliving its parent."""

import errno
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from processor.embedded import artifacts
from processor.embedded.child import GuardedChild
from processor.embedded.errors import BrokerError
from processor.embedded.lock import DirectoryLock
from processor.embedded.properties import server_properties

HOST = "127.0.0.1"
# Below the range the kernel hands to outgoing connections: a stopped broker's port stays free for its restart,
# and a client that reconnects to it meanwhile cannot connect to itself.
PORTS = range(20_000, 32_000)
SPACE_NEEDED_BYTES = 300_000_000
READY_S = 180.0
"""Three seconds are enough on an idle machine; a busy one may take long."""

POLL_S = 0.05
LOG_LINES_SHOWN = 12
LOG_LINES_SEARCHED = 100
QUICK_OPTIONS = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
KAFKA_OPTIONS = [  # those of kafka-run-class.sh
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
]
_LOGGING = [
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSZ",
    "-Dorg.slf4j.simpleLogger.showThreadName=false",
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.config.AbstractConfig=warn",  # a dump of every setting
]


def free_port(besides: int = 0) -> int:
    """Returns a port other than `besides` on which nothing listens at the moment."""
    while (port := random.choice(PORTS)) == besides or not _is_free(port):  # noqa: S311
        pass
    return port


def new_cluster_id() -> str:
    """Returns an id as Kafka makes them: a UUID in URL-safe base 64."""
    return urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode().replace("-", "_")


class EmbeddedBroker:
    """A real Kafka 4.1.1 (KRaft, one node) on 127.0.0.1; also a context manager.

    Without `port` a free one is taken and kept over restarts. Without `data_dir` the data live in a temporary
    directory that is removed at `stop`; a given directory is formatted at its first use and kept. `quick` trades peak
    speed for a fast start (no second compiler tier, no concurrent collector): right for tests and the demo. Without it
    the broker has the options that Kafka's own scripts start one with. `properties` are added to server.properties or
    replace what is there; `client` is the librdkafka configuration the readiness check connects with;
    `format_arguments` go to `kafka-storage format` (SCRAM users); `cluster_id` is what the nodes of one cluster share.
    """

    def __init__(
        self,
        port: int | None = None,
        data_dir: Path | None = None,
        *,
        heap: str = "512m",
        quick: bool = True,
        properties: Mapping[str, str] | None = None,
        client: Mapping[str, str] | None = None,
        format_arguments: Sequence[str] = (),
        cluster_id: str | None = None,
    ) -> None:
        self.port = port or free_port()
        self.bootstrap = f"{HOST}:{self.port}"
        self._given_dir = data_dir
        self._temporary_dir: Path | None = None
        self._java_options = [f"-Xmx{heap}", *(QUICK_OPTIONS if quick else [f"-Xms{heap}", *KAFKA_OPTIONS])]
        self._properties = dict(properties or {})
        self._client = dict(client or {})
        self._format_arguments = list(format_arguments)
        self._cluster_id = cluster_id or new_cluster_id()
        self._java: GuardedChild | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process id of the running Java."""
        if self._java is None:
            raise RuntimeError("the broker is not running")
        return self._java.pid

    @property
    def data_dir(self) -> Path:
        """Where the broker keeps its data, its configuration and its log."""
        directory = self._given_dir or self._temporary_dir
        if directory is None:
            raise RuntimeError("the broker has no data directory before its start")
        return directory.absolute()

    @property
    def log_path(self) -> Path:
        """The log of the Java process."""
        return self.data_dir / "broker.log"

    def start(self) -> Self:
        """Starts the broker and returns once it answers requests; raises `BrokerError` with the remedy."""
        if self._java is not None:
            raise RuntimeError("the broker is running already")
        class_path = os.pathsep.join(map(str, artifacts.jars()))
        java = [str(artifacts.java()), *self._java_options, *_LOGGING, "-cp", class_path]
        if not _is_free(self.port):
            raise BrokerError(
                f"Port {self.port} on {HOST} is taken",
                "Stop what listens there, or choose another port (credits kafka up --port 9093) and"
                " point the clients at it (CREDITS_BROKERS=127.0.0.1:9093).",
            )
        try:
            with self._locked_data_dir() as lock:
                self._format(java)
                command = [*java, "kafka.Kafka", str(self._properties_path)]
                # The guardian holds the lock as well: nobody starts on these data before Java is gone.
                self._java = GuardedChild(command, self.log_path, remove=self._temporary_dir, held=[lock.fileno()])
            self._await_ready(self._java)
        except OSError as error:
            self.stop()
            raise BrokerError(
                f"The broker could not be started: {error}",
                f"Make sure that the data directory is writable (--data-dir) and that {java[0]} can be executed.",
            ) from error
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stops the broker, cleanly where its data are kept; harmless when it is not running."""
        if self._temporary_dir is None:
            self._end(signal.SIGTERM)
            return
        self._end(signal.SIGKILL)  # nothing to flush for a directory that goes away
        shutil.rmtree(self._temporary_dir, ignore_errors=True)
        self._temporary_dir = None

    def kill(self) -> None:
        """Kills the broker as a crash would (SIGKILL); `start` brings it back on the same data and port."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stops the broker cleanly and starts it on the same data and port."""
        self._end(signal.SIGTERM)
        self.start()

    def wait(self) -> None:
        """Blocks while the broker runs; raises `BrokerError` when it ends by itself."""
        if self._java is not None:
            self._java.wait()
            self.check()

    def check(self) -> None:
        """Raises `BrokerError` when the broker has ended by itself."""
        if self._java is not None and self._java.ended():
            raise self._died("The broker ended by itself")

    @property
    def _properties_path(self) -> Path:
        return self.data_dir / "server.properties"

    def _locked_data_dir(self) -> DirectoryLock:
        if self._given_dir is None and self._temporary_dir is None:
            self._temporary_dir = Path(tempfile.mkdtemp(prefix="credits-kafka-"))
        self.data_dir.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(self.data_dir).free < SPACE_NEEDED_BYTES:
            raise BrokerError(f"No space left on the disk of {self.data_dir}", artifacts.SPACE_REMEDY)
        return DirectoryLock(self.data_dir)

    def _format(self, java: list[str]) -> None:
        """Writes server.properties and, once per data directory, the metadata of a new cluster."""
        logs = self.data_dir / "logs"
        settings = server_properties(HOST, self.port, free_port(besides=self.port), logs) | self._properties
        self._properties_path.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        if (logs / "meta.properties").exists():
            return
        tool = ["kafka.tools.StorageTool", "format", "-t", self._cluster_id, "-c", str(self._properties_path)]
        with self.log_path.open("ab") as log:
            done = subprocess.run([*java, *tool, *self._format_arguments], stdout=log, stderr=log, check=False)
        if done.returncode:
            raise self._died("The data directory could not be formatted")

    def _await_ready(self, java: GuardedChild) -> None:
        """Returns once the broker lists itself in its own metadata, which it does when it takes requests."""
        deadline = time.monotonic() + READY_S
        while not java.ended():
            if self._listens() and self._answers():
                return
            if time.monotonic() > deadline:
                raise self._died(f"The broker did not become ready within {READY_S:.0f} s")
            time.sleep(POLL_S)
        raise self._died("The broker died while it started")

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((HOST, self.port)) == 0

    def _answers(self) -> bool:
        client = AdminClient({"log_level": 0, **self._client, "bootstrap.servers": self.bootstrap}, logger=None)
        try:
            return bool(client.list_topics(timeout=2).brokers)
        except KafkaException:
            return False

    def _end(self, how: signal.Signals) -> None:
        if self._java is not None:
            self._java.end(how)
            self._java = None

    def _died(self, problem: str) -> BrokerError:
        lines = self.log_path.read_text(errors="replace").splitlines() if self.log_path.exists() else []
        text = "\n".join(lines[-LOG_LINES_SEARCHED:])
        if os.strerror(errno.ENOSPC) in text:
            return BrokerError(f"No space left on the disk of {self.data_dir}", artifacts.SPACE_REMEDY)
        if os.strerror(errno.EADDRINUSE) in text:
            return BrokerError(f"Port {self.port} on {HOST} was taken meanwhile", "Repeat, or choose another port.")
        telling = [line for line in lines if not line.startswith("\tat ")]
        last = "\n".join(f"  {line}" for line in telling[-LOG_LINES_SHOWN:])
        where = "" if self._temporary_dir else f" The whole log: {self.log_path}"
        return BrokerError(problem, f"Its last words:\n{last}\n{where}".rstrip())


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
