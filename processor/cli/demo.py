"""`credits demo`: the whole product on one machine, live, ending with its own audit."""

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import click

from processor.cli.common import CommandFailed

if TYPE_CHECKING:
    from processor.embedded.child import GuardedChild

PATIENCE_S = 180.0
"""How long a part may take to be up, and the rest to be processed: seconds are enough unless the machine is busy."""
REFRESH_S = 0.5
WORD_S = 5.0
"""So often somebody who waits is told for what."""


@click.command()
@click.option("--minutes", type=click.FloatRange(min=0.05), help="End after this long; else Ctrl-C does.")
@click.option("--port", type=click.IntRange(1, 65535), default=9092, show_default=True, help="Kafka's port.")
@click.option("--metrics-port", type=click.IntRange(1, 65535), default=9464, show_default=True, help="The worker's.")
@click.option("--tenants", type=click.IntRange(1, 100_000), default=200, show_default=True, help="Accounts.")
@click.option("--rate", type=click.FloatRange(1, 100_000), default=1000, show_default=True, help="Events per second.")
@click.option(
    "--console-port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="The console's; 0 is off."
)
def demo(minutes: float | None, port: int, metrics_port: int, tenants: int, rate: float, console_port: int) -> None:
    """See everything at work: a real Kafka broker, a worker, a payment worker, a telephony platform and the console.

    The tenants are opened with 50.00 each and auto-pay of 50.00, or of several times as much for who spends faster,
    when the balance falls to 20.00; their usage is debited as it arrives and recharges follow. The link that is printed
    opens the console, where an administrator sees all of it. While it runs, other commands work from a second terminal,
    for example `credits balance tenant-00001`. At the end the platform stops, the rest is processed and `credits
    verify` recomputes every balance: the exit code is 0 only if nothing drifted.

    \b
    Example:
      credits demo --minutes 2
    """
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    directory = Path(tempfile.mkdtemp(prefix="credits-demo-"))
    try:
        with ExitStack() as running:
            brokers = running.enter_context(_broker(port))
            world = _Demo(brokers, directory, metrics_port, stop)
            sys.exit(world.run(running, minutes, tenants, rate, console_port))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _broker(port: int) -> Iterator[str]:
    from processor.embedded import artifacts
    from processor.embedded.broker import EmbeddedBroker
    from processor.embedded.errors import BrokerError
    from processor.stream import topics

    try:
        artifacts.jars()  # with its own progress, the first time
        click.echo("Starting Kafka …", err=True)
        with EmbeddedBroker(port) as broker:
            topics.apply(broker.bootstrap, 8, 1)
            yield broker.bootstrap
    except BrokerError as error:
        raise CommandFailed(str(error)) from error


def _on_stderr(note: str) -> None:
    click.echo(note, err=True)


class _Demo:
    """The processes around the broker and the screen in front of them."""

    def __init__(self, brokers: str, directory: Path, metrics_port: int, stop: Event) -> None:
        self._brokers = brokers
        self._directory = directory
        self._metrics_port = metrics_port
        self._stop = stop
        self._children: dict[str, GuardedChild] = {}

    def run(self, running: ExitStack, minutes: float | None, tenants: int, rate: float, console_port: int) -> int:
        """Runs until the time is over or somebody stops it; returns the verdict's exit code."""
        from processor.cli.demo_screen import Screen

        running.callback(self._end_all)
        self._start("worker", "--processes", "1", "--metrics-port", str(self._metrics_port))
        self._start("payment-worker", "--latency", "0.3", "--decline-rate", "0.02")
        screen = Screen(self._brokers, self._metrics_port)
        screen.say(
            f"In a second terminal: {sys.argv[0]} ledger tenant-00001 --brokers {self._brokers}\n"
            "Ctrl-C ends the demo with an audit of every balance."
        )
        running.enter_context(screen)
        click.echo("Starting the worker …", err=True)
        self._until("the worker has its partitions", "worker", lambda: self._stop.is_set() or screen.worker_is_up())
        # Who spends more than the 50.00 while a payment is under way needs several of them at once.
        pace = ("--tenants", str(tenants), "--rate", str(rate), "--skew")
        self._start("simulate", *pace, "--open", "--max-units", "1000")
        if console_port and not self._stop.is_set():
            self._open_console(console_port)
        deadline = time.monotonic() + 60 * minutes if minutes else None
        with screen.live():
            while not self._stop.is_set() and (deadline is None or time.monotonic() < deadline):
                self._check()
                screen.refresh()
                self._stop.wait(REFRESH_S)
            screen.say("The platform has stopped; waiting for the rest to be processed …")
            self._end("simulate")
            self._until("all usage is processed", "worker", lambda: screen.refresh().settled, screen.say)
        return self._verify()

    def _open_console(self, port: int) -> None:
        if find_spec("fastapi") is None:
            click.echo('No console: pip install "communication-credits[console]"')
            return
        self._start("console", "--port", str(port))
        said = self._log("console")
        self._until("the console listens", "console", lambda: "Console: " in said.read_text())
        click.echo(f"{said.read_text().splitlines()[-1]}\n(it signs in once; each further link is in {said})")

    def _start(self, command: str, *arguments: str) -> None:
        from processor.embedded.child import GuardedChild

        data_dir = ["--data-dir", str(self._directory / command)] if command != "simulate" else []
        line = [sys.executable, "-m", "processor.cli", command, "--brokers", self._brokers, *data_dir, *arguments]
        self._children[command] = GuardedChild(line, self._log(command), remove=None, held=[])

    def _log(self, command: str) -> Path:
        return self._directory / f"{command}.log"

    def _check(self) -> None:
        """Fails with its last words when a part of the demo ended by itself."""
        for command, child in self._children.items():
            if child.ended():
                raise CommandFailed(f"`credits {command}` ended by itself:{self._last_words(command)}")

    def _until(
        self, what: str, command: str, condition: Callable[[], bool], say: Callable[[str], None] = _on_stderr
    ) -> None:
        """Waits for a part of the demo, and says now and then for what, for how long and until when."""
        began, words = time.monotonic(), 1
        while not condition():
            self._check()
            waited_s = time.monotonic() - began
            if waited_s > PATIENCE_S:
                raise CommandFailed(f"not within {PATIENCE_S:.0f} s: {what}{self._last_words(command)}")
            if waited_s > words * WORD_S:
                words += 1
                say(f"Waiting until {what}: {waited_s:.0f} s of at most {PATIENCE_S:.0f}; is the machine busy?")
            time.sleep(0.1)  # between two looks at a metrics page

    def _last_words(self, command: str) -> str:
        return "".join(f"\n  {line}" for line in self._log(command).read_text().strip().splitlines()[-5:])

    def _end(self, command: str) -> None:
        self._children.pop(command).end(signal.SIGTERM)

    def _end_all(self) -> None:
        for command in reversed(list(self._children)):
            self._end(command)

    def _verify(self) -> int:
        click.echo("\nRecomputing every balance from the ledger: credits verify")
        line = [sys.executable, "-m", "processor.cli", "verify", "--brokers", self._brokers]
        return subprocess.run(line, check=False).returncode
