"""`credits worker`: the stream processor, one supervised process per core."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

import click
import structlog

from processor.cli.common import (
    CommandFailed,
    broker_errors,
    brokers_option,
    check_tracing,
    client_conf,
    make_settings,
    serve_metrics,
)
from processor.cli.reading import partitions_of
from processor.contracts import topics
from processor.observability import logging as log_setup
from processor.settings import Settings

log = structlog.get_logger()

RESTART_DELAY_S = (1.0, 30.0)
HEALTHY_AFTER_S = 60.0
KILL_AFTER_S = 5.0
EXIT_UNEXPECTED = 70


@click.command()
@brokers_option
@click.option("--processes", type=click.IntRange(1, 256), help="worker processes  [one per core]")
@click.option("--data-dir", type=click.Path(path_type=Path), help="locked by the worker; holds its stable name")
@click.option("--rates", type=click.Path(path_type=Path), multiple=True, help="a rate deck; may be repeated")
@click.option("--metrics-port", type=int, help="Prometheus port, +1 per process; 0 is off  [9464]")
@click.option("--child", type=int, hidden=True)
def worker(
    brokers: str | None,
    processes: int | None,
    data_dir: Path | None,
    rates: tuple[Path, ...],
    metrics_port: int | None,
    child: int | None,
) -> None:
    """Run the stream processor: usage in, debits and recharge commands out, exactly once.

    Each process works on its share of the partitions and is restarted with back-off when it stops itself. With
    --processes 1 the worker runs in this process, for systemd or Kubernetes to restart. SIGTERM finishes the running
    batch; the partitions wait for the worker's return until the session time-out, then others take them. SIGHUP, or
    a changed file, has the rate decks read again; a deck with mistakes is refused and the old rates stay.

    \b
    Example:
      credits worker --processes 2 --rates deck.csv --data-dir /var/lib/credits
    """
    settings = make_settings(brokers=brokers, data_dir=data_dir, rates=list(rates) or None, metrics_port=metrics_port)
    log_setup.configure()
    check_tracing(settings)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there are rates to reload
    count = processes or os.cpu_count() or 1
    if child is not None or processes == 1:
        _work(settings, child or 0, alone=child is None)
    else:
        sys.exit(_Supervisor(count, settings.shutdown_timeout_s).run())


def _work(settings: Settings, index: int, *, alone: bool) -> None:
    """Runs one worker in this process, after checking what it stands on."""
    from processor import worker as composition
    from processor.contracts.decks import DeckError
    from processor.stream.instance import DataDirBusyError

    structlog.contextvars.bind_contextvars(worker=index)
    changes: dict[str, object] = {}
    if not alone:
        changes["data_dir"] = settings.data_dir / str(index)
        if settings.metrics_port:
            changes["metrics_port"] = settings.metrics_port + index
        if settings.instance:
            changes["instance"] = f"{settings.instance}-{index}"
    settings = settings.model_copy(update=changes)
    partitions = _checked_partitions(settings)

    def ready(started: composition.Worker) -> None:
        serve_metrics(settings.metrics_port, started.metrics.registry, started.health.live, started.health.ready)

    try:
        composition.run(settings, partitions, ready)
    except (DataDirBusyError, DeckError, FileNotFoundError) as fault:
        raise CommandFailed(str(fault)) from None


def _checked_partitions(settings: Settings) -> int:
    """Returns the partition count that all topics share, after refusing a cluster that could double or lose debits."""
    from processor.stream import topics as stream_topics

    conf = client_conf(settings)
    with broker_errors(conf):
        problems = stream_topics.verify(settings.brokers, conf, settings.deduplication_days)
    if problems:
        lines = "\n".join(f"  {problem.topic} {problem.problem}. {problem.remedy}" for problem in problems)
        raise CommandFailed(f"the topics on {settings.brokers} cannot be trusted with money:\n{lines}")
    return partitions_of(conf, topics.LEDGER)


class _Supervisor:
    """Keeps one child per core alive until it is told to stop."""

    def __init__(self, count: int, shutdown_timeout_s: float) -> None:
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._started: dict[int, float] = {}
        self._delay = dict.fromkeys(range(count), 0.0)
        self._due = dict.fromkeys(range(count), 0.0)
        self._stopping = False
        self._patience_s = shutdown_timeout_s + KILL_AFTER_S

    def run(self) -> int:
        """Starts, watches and restarts the children; returns the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGHUP, self._pass_on)
        while not self._stopping:
            for index in self._due:
                code = self._tend(index)
                if code is not None and self._hopeless(code):
                    self._stop(signal.SIGTERM, None)
                    self._wait_for_all()
                    return code
            time.sleep(0.1)  # the supervisor's clock: how soon a dead child is noticed
        return self._wait_for_all()

    def _tend(self, index: int) -> int | None:
        now = time.monotonic()
        running = self._children.get(index)
        if running is not None:
            code = running.poll()
            if code is None:
                return None
            del self._children[index]
            healthy = now - self._started[index] > HEALTHY_AFTER_S
            first, last = RESTART_DELAY_S
            self._delay[index] = first if healthy else min(max(self._delay[index] * 2, first), last)
            self._due[index] = now + self._delay[index]
            log.warning("worker process ended", worker=index, code=code, restart_in_s=self._delay[index])
            return code
        if now >= self._due[index]:
            self._started[index] = now
            command = [*_this_command(), "--child", str(index)]
            self._children[index] = subprocess.Popen(command, preexec_fn=_ignore_hangups)
        return None

    def _hopeless(self, code: int) -> bool:
        """Tells whether to give up: at a fault that a restart cannot mend, already explained by the child.

        Not while others work: what a starting process meets, such as a broken deck, need not concern them.
        """
        now = time.monotonic()
        return code in (1, 2) and not any(now - self._started[index] > HEALTHY_AFTER_S for index in self._children)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._stopping = True
        for running in self._children.values():
            running.terminate()

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        del frame
        for running in self._children.values():
            running.send_signal(number)

    def _wait_for_all(self) -> int:
        """Waits for the children, each of which ends itself in time unless it is frozen; returns the exit code."""
        codes = []
        deadline = time.monotonic() + self._patience_s
        for running in self._children.values():
            try:
                codes.append(running.wait(max(0.0, deadline - time.monotonic())))
            except subprocess.TimeoutExpired:
                running.kill()
                codes.append(running.wait())
        # A child that was still starting knows no handler for the signal: it had nothing to finish.
        return 0 if set(codes) <= {0, -signal.SIGTERM} else EXIT_UNEXPECTED


def _ignore_hangups() -> None:
    """A starting child reads the newest decks anyway; the default of the signal would end it."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _this_command() -> list[str]:
    return [sys.executable, "-m", "processor.cli", *sys.argv[1:]]
