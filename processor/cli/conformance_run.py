"""Runs a payment worker under test: asks, kills, freezes, restarts and stops it, and keeps what it answered."""

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Final, Self

from confluent_kafka import IsolationLevel, Producer
from confluent_kafka.admin import OffsetSpec
from msgspec import Struct

from processor.cli.common import CommandFailed, broker_errors
from processor.cli.reading import Tail, partitions_of, read_committed
from processor.contracts import topics
from processor.contracts.outputs import request_record
from processor.domain.ledger import RechargeRequest
from processor.payments.conformance.plan import Plan
from processor.payments.conformance.verdict import Observed, Record
from processor.stream.reading import offsets

LOOK_S: Final = 0.1
FREEZE_S: Final = 1.0
AFTER_PROGRESS_S: Final = 0.2
RESTARTS: Final = 100
SETTLED_S: Final = 15.0
COMMIT_S: Final = 30.0


class Limits(Struct, frozen=True, kw_only=True):
    """How long the worker may take: without any new result, and after SIGTERM."""

    patience_s: float
    stop_s: float


class Worker:
    """The worker's process, in a group of its own so that what it starts dies with it; `command` is one line."""

    def __init__(self, command: str, brokers: str, directory: Path, log: Path) -> None:
        self._words = [
            word.replace("{brokers}", brokers).replace("{directory}", str(directory)) for word in shlex.split(command)
        ]
        self._environment = {**os.environ, "CREDITS_BROKERS": brokers}
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self.starts = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def keep_running(self) -> None:
        """Starts the worker unless it runs, as a supervisor would."""
        if self._process is not None and self._process.poll() is None:
            return
        if self.starts == RESTARTS:
            raise CommandFailed(f"the worker ended by itself again and again: see {self._log}")
        self.starts += 1
        with self._log.open("ab") as output:
            try:
                self._process = subprocess.Popen(
                    self._words,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise CommandFailed(f"--cmd cannot be started: {error}") from None

    def freeze(self) -> None:
        """Stands still for a moment, as a paused machine does."""
        self._signal(signal.SIGSTOP)
        time.sleep(FREEZE_S)
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """Ends without warning."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def stop(self, within_s: float) -> int | None:
        """Asks it to end and returns its exit code; None when it had to be killed."""
        self.keep_running()
        assert self._process is not None  # noqa: S101
        self._signal(signal.SIGTERM)
        try:
            return self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, number)


class Meter:
    """Takes the meter's part on the topics: writes commands in transactions, reads committed results."""

    def __init__(self, conf: Mapping[str, Any], run: str) -> None:
        self._conf = conf
        self._producer = Producer({**conf, "transactional.id": f"conformance-{run}", "partitioner": "murmur2_random"})
        self._producer.init_transactions(COMMIT_S)
        parts = range(partitions_of(conf, topics.RECHARGE_RESULTS))
        self._where = [(topics.RECHARGE_RESULTS, part) for part in parts]
        self._tail = Tail(conf, self._where)
        self.answered: set[str] = set()
        self.places: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._tail.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tail.__exit__(kind, error, trace)

    def ask(self, commands: list[RechargeRequest], *, abort: bool = False) -> None:
        """Writes commands in one transaction."""
        self._producer.begin_transaction()
        for command in commands:
            self._producer.produce(
                topics.RECHARGE_COMMANDS, request_record(command), command.tenant_id, on_delivery=self._placed
            )
        self._producer.flush(COMMIT_S)
        if abort:
            self._producer.abort_transaction(COMMIT_S)
        else:
            self._producer.commit_transaction(COMMIT_S)

    def look(self) -> int:
        """Reads what has been answered meanwhile and returns how many ids have an answer."""
        import msgspec

        for message in self._tail.messages(LOOK_S):
            try:
                document = msgspec.json.decode(message.value() or b"")
                self.answered.add(document["data"]["recharge_id"])
            except (msgspec.DecodeError, KeyError, TypeError):
                continue  # the verdict names it
        return len(self.answered)

    def records(self) -> tuple[list[Record], bool]:
        """Returns all committed results, and whether a transaction was left open."""
        deadline = time.monotonic() + SETTLED_S
        while open_transaction := self._end(IsolationLevel.READ_COMMITTED) != self._end(
            IsolationLevel.READ_UNCOMMITTED
        ):
            if time.monotonic() > deadline:
                break
            time.sleep(LOOK_S)
        # With a transaction open this waits until the broker aborts it.
        found = [
            Record(
                partition=message.partition(),
                offset=message.offset(),
                key=message.key(),
                value=message.value(),
                headers=message.headers() or [],
            )
            for message in read_committed(self._conf, topics.RECHARGE_RESULTS)
        ]
        return found, open_transaction

    def _end(self, isolation: IsolationLevel) -> dict[tuple[str, int], int]:
        with broker_errors(self._conf):
            return offsets(self._conf, self._where, OffsetSpec.latest(), isolation, COMMIT_S)

    def _placed(self, error: object, message: Any) -> None:
        if error is None:
            self.places[message.key().decode()] = message.partition()


def run(plan: Plan, worker: Worker, meter: Meter, limits: Limits, seed: int, say: Callable[[str], None]) -> Observed:
    """Takes the worker through the plan; a worker that gets stuck is judged by what it did until then."""
    dice = Random(seed)  # noqa: S311 - a test plan
    meter.ask(plan.aborted, abort=True)
    asked: set[str] = set()
    for number, commands in enumerate(plan.rounds[:-1], 1):
        meter.ask(commands)
        before = len(asked & meter.answered)
        asked |= {each.recharge_id for each in commands}
        new = len(asked) - before
        # Anywhere between its first breath and its last answer of this round.
        _until(worker, meter, before + dice.randint(0, max(new - 1, 0)), limits)
        time.sleep(dice.uniform(0, AFTER_PROGRESS_S))
        if number % 3 == 0:
            say(f"round {number}: {len(meter.answered)} answered, freezing the worker")
            worker.freeze()
        else:
            say(f"round {number}: {len(meter.answered)} answered, killing the worker")
            worker.kill()
    meter.ask(plan.rounds[-1])
    asked |= {each.recharge_id for each in plan.rounds[-1]}
    say(f"waiting for all {len(asked)} answers")
    if _until(worker, meter, len(asked), limits):
        say("asking again for what has been answered")
        meter.ask(plan.afterwards)
        _until(worker, meter, len(plan.wanted), limits)
    say("asking the worker to end")
    exit_code = worker.stop(limits.stop_s)
    records, open_transaction = meter.records()
    return Observed(records=records, places=meter.places, open_transaction=open_transaction, exit_code=exit_code)


def _until(worker: Worker, meter: Meter, answered: int, limits: Limits) -> bool:
    """Keeps the worker running until so many ids are answered; False when nothing comes any more."""
    found, deadline = meter.look(), time.monotonic() + limits.patience_s
    worker.keep_running()
    while found < answered:
        worker.keep_running()
        now = meter.look()
        if now > found:
            found, deadline = now, time.monotonic() + limits.patience_s
        elif time.monotonic() > deadline:
            return False
    return True
