"""Real worker processes that a test can kill, freeze and wake, and conditions to wait for."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from processor.contracts.topics import INPUTS, USAGE_REROUTED
from tests.crash.platform import PARTITIONS

GROUP = "credits-meter"
NOT_YET = (
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.FENCED_LEADER_EPOCH,
)
"""What a broker says that has just come back, or woken, and knows less than its clients."""

SESSION_TIMEOUT_S = 3
TRANSACTION_TIMEOUT_S = 3


def wait_until(what: str, condition: Callable[[], bool], timeout_s: float = 120.0, pause_s: float = 0.05) -> None:
    """Polls a condition; fails with its name when the time is over."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(pause_s)


class WorkerProcess:
    """One `credits worker` process with its own data directory, restartable under the same stable name."""

    def __init__(self, bootstrap: str, directory: Path, deck: Path, **environment: str) -> None:
        self._directory = directory
        self._environment = {
            **os.environ,
            "CREDITS_BROKERS": bootstrap,
            "CREDITS_DATA_DIR": str(directory),
            "CREDITS_RATES": str(deck),
            "CREDITS_METRICS_PORT": "0",
            "CREDITS_SESSION_TIMEOUT_S": str(SESSION_TIMEOUT_S),
            "CREDITS_TRANSACTION_TIMEOUT_S": str(TRANSACTION_TIMEOUT_S),
            "CREDITS_MINIMUM_FUNDING_MICROS": "1",
            **environment,
        }
        self.log_path = directory.with_suffix(".log")
        self.process: subprocess.Popen[bytes]
        self.deaths: list[int] = []
        self.rebalances = 0
        """Assignments that the processes before the present one have logged."""

    def start(self, failpoint: str | None = None) -> "WorkerProcess":
        """Starts it, optionally to die or freeze after a step of the protocol."""
        environment = self._environment | ({"CREDITS_FAILPOINT": failpoint} if failpoint else {})
        with self.log_path.open("ab") as log:
            self._log_start = log.tell()
            self.process = subprocess.Popen(
                [sys.executable, "-m", "processor.cli", "worker", "--processes", "1"],
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return self

    @property
    def instance(self) -> str:
        """The stable name: the first process has written it down."""
        return (self._directory / "instance").read_text().strip()

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to a running process."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and waits for the end."""
        self.process.kill()
        self.ended()

    def terminate(self) -> int:
        """SIGTERM, as soon as the process listens to it, and waits for the end."""
        wait_until("the worker listens to signals", lambda: '"worker started"' in self.log() or not self.running())
        self.signal(signal.SIGTERM)
        return self.ended()

    def ended(self, timeout_s: float = 120.0) -> int:
        """Waits for the end of the process and returns its exit code (negative: killed by that signal)."""
        code = self.process.wait(timeout_s)
        self.deaths.append(code)
        self.rebalances += len(self.adopted())
        return code

    def started(self) -> bool:
        """Tells whether there ever was a process."""
        return hasattr(self, "process")

    def running(self) -> bool:
        """Tells whether the process has not ended."""
        return self.process.poll() is None

    def frozen(self) -> bool:
        """Tells whether the process is stopped by a signal."""
        return Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"

    def log(self) -> str:
        """Returns what the present process has logged."""
        with self.log_path.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode()

    def adopted(self) -> list[set[int]]:
        """Returns the sets of partitions that the present process took over, in order."""
        found = re.findall(r'"partitions": \[([\d, ]*)\][^\n]*"partitions adopted"', self.log())
        return [{int(number) for number in numbers.split(",")} for numbers in found]


def read_until(bootstrap: str, group: str = GROUP) -> dict[tuple[str, int], int]:
    """Returns the committed offset of every input partition; 0 where nothing is committed."""
    partitions = [TopicPartition(topic, number) for topic in INPUTS for number in range(PARTITIONS)]
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "isolation.level": "read_uncommitted"})
    try:
        return {(tp.topic, tp.partition): max(tp.offset, 0) for tp in consumer.committed(partitions, timeout=20)}
    finally:
        consumer.close()


def holds_partitions(bootstrap: str, worker: WorkerProcess, group: str = GROUP) -> bool | None:
    """Asks the broker whether a static member (classic protocol) has partitions; None while it cannot tell."""
    admin = AdminClient({"bootstrap.servers": bootstrap})  # must outlive its futures
    [future] = admin.describe_consumer_groups([group], request_timeout=20).values()
    try:
        members = future.result(30).members
    except KafkaException as error:
        if error.args[0].code() not in NOT_YET:
            raise
        return None
    own = [member for member in members if member.group_instance_id == worker.instance]
    return any(member.assignment.topic_partitions for member in own)


def lag(bootstrap: str, group: str = GROUP) -> int:
    """Counts input records that are not committed yet; unknown counts as very many."""
    try:
        committed = read_until(bootstrap, group)
        partitions = [TopicPartition(*place) for place in committed]
        admin = AdminClient({"bootstrap.servers": bootstrap})  # must outlive its futures
        ends = {
            tp: end.result() for tp, end in admin.list_offsets({tp: OffsetSpec.latest() for tp in partitions}).items()
        }
    except KafkaException as error:
        if error.args[0].code() not in NOT_YET:
            raise
        return sys.maxsize
    behind = {(tp.topic, tp.partition): end.offset - committed[tp.topic, tp.partition] for tp, end in ends.items()}
    others = sum(left for (topic, _), left in behind.items() if topic != USAGE_REROUTED and left > 0)
    if others:
        return others
    return sum(
        _committed_behind(bootstrap, number, committed[topic, number], committed[topic, number] + left)
        for (topic, number), left in behind.items()
        if topic == USAGE_REROUTED and left > 0
    )


def _committed_behind(bootstrap: str, number: int, start: int, end: int) -> int:
    """Counts what a worker has yet to read of `usage.rerouted.v1`, where markers and aborted records have offsets too.

    An undecided transaction counts as one record.
    """
    conf = {"bootstrap.servers": bootstrap, "group.id": "lag", "isolation.level": "read_committed"}
    consumer = Consumer({**conf, "enable.partition.eof": True, "enable.auto.commit": False})
    consumer.assign([TopicPartition(USAGE_REROUTED, number, start)])
    records = 0
    while True:
        [message] = consumer.consume(1, 10) or [None]
        assert message is not None, "the broker does not answer"
        if message.error() is None:
            records += 1
        elif message.error().code() == KafkaError._PARTITION_EOF:
            consumer.close()
            return records + (message.offset() < end)
        else:
            raise KafkaException(message.error())


def drained(bootstrap: str, *workers: WorkerProcess) -> None:
    """Waits until every input record is committed; a worker that stops itself is started again, as in production."""

    def empty() -> bool:
        for worker in workers:
            if not worker.running():
                worker.ended()
                worker.start()
        return lag(bootstrap) == 0

    wait_until("all input committed", empty, 180, pause_s=0.25)
