"""`make drills`: shows each alert firing in a real Prometheus and clearing after its runbook's mitigation."""

import signal
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from threading import Event
from typing import Final

import click
import msgspec
from rich.console import Console
from rich.live import Live
from rich.table import Table

from drills.catalogue import DRILLS, Drill
from drills.running import Outcome, Stage, perform

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "docs" / "how-to" / "fault-drills.md"
SEPARATOR: Final = "| --- | --- | --- | --- | --- | --- |\n"
STYLES: Final[dict[Stage, str]] = {"firing": "bold red", "mending": "yellow", "done": "green", "failed": "bold red"}


class Screen:
    """One line per drill with its stage; without a terminal, one line per change."""

    def __init__(self, chosen: Sequence[Drill], stop: Event) -> None:
        self._stop = stop
        self._console = Console(stderr=True)
        self._stages: dict[str, Stage] = dict.fromkeys((drill.name for drill in chosen), "waiting")
        self._live = Live(console=self._console, get_renderable=self._table, refresh_per_second=4, transient=True)

    def __enter__(self) -> "Screen":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def perform(self, drill: Drill) -> Outcome:
        """Performs a drill, shows where it is and says what went wrong."""

        def say(stage: Stage) -> None:
            self._stages[drill.name] = stage
            if not self._console.is_terminal:
                self._console.print(f"{drill.name}: {stage}")

        outcome = perform(drill, say, self._stop)
        if not outcome.good:
            self._console.print(f"{drill.name}: {outcome.problem or f'{outcome.drifts} drifts'}", markup=False)
        return outcome

    def _table(self) -> Table:
        table = Table("drill", "alert", "stage", box=None)
        for name, stage in self._stages.items():
            table.add_row(name, DRILLS[name].alert, f"[{STYLES.get(stage, 'dim')}]{stage}[/]")
        return table


@click.command()
@click.option("--only", multiple=True, metavar="NAME", help="A drill, or its alert; may be repeated.  [default: all]")
@click.option("--jobs", type=click.IntRange(1, 16), default=2, show_default=True, help="Drills at a time.")
@click.option("--record", is_flag=True, help=f"Write the figures into {PAGE.relative_to(ROOT)}.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def main(only: tuple[str, ...], jobs: int, record: bool, as_json: bool) -> None:
    """Cause the condition of every alert on a running demo and mend it as the runbook says.

    Each drill has a broker, workers and a Prometheus of its own. The windows of the rules are shortened, mostly so
    that an hour lasts a minute; thresholds are as they are. Exit code 0 only if every alert fired and ended and no
    money went astray.
    """
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    chosen = [drill for drill in DRILLS.values() if not only or {drill.name, drill.alert} & set(only)]
    if unknown := set(only) - {name for drill in chosen for name in (drill.name, drill.alert)}:
        raise click.UsageError(f"no such drill: {', '.join(sorted(unknown))}; there are {', '.join(DRILLS)}")
    with Screen(chosen, stop) as screen, ThreadPoolExecutor(jobs) as pool:
        outcomes = []
        for performed in as_completed([pool.submit(screen.perform, drill) for drill in chosen]):
            outcomes.append(performed.result())
            if record and outcomes[-1].good:
                PAGE.write_text(recorded(PAGE.read_text(), outcomes[-1]))
    outcomes.sort(key=lambda outcome: [*DRILLS].index(outcome.drill))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(outcomes), indent=2))
    else:
        Console().print(table(outcomes))
    sys.exit(0 if all(outcome.good for outcome in outcomes) else 1)


def table(outcomes: Sequence[Outcome]) -> Table:
    """Shows what each drill has shown."""
    made = Table("drill", "alert", "an hour is", "fired after", "cleared after", "books")
    for outcome in outcomes:
        books = "–" if outcome.drifts is None else "agree" if outcome.drifts == 0 else f"{outcome.drifts} drifts"
        hour, fired, cleared = map(_seconds, (outcome.hour_s, outcome.fired_after_s, outcome.cleared_after_s))
        made.add_row(outcome.drill, outcome.alert, hour, fired, cleared, books)
    return made


def recorded(page: str, outcome: Outcome) -> str:
    """Returns the page with the row of this drill replaced; those of others stay."""
    head, separator, rest = page.partition(SEPARATOR)
    rows, _, after = rest.partition("\n\n")
    kept = {row.split("`")[1]: row for row in rows.splitlines()}
    hour, fired, cleared = map(_seconds, (outcome.hour_s, outcome.fired_after_s, outcome.cleared_after_s))
    alert = f"[{outcome.alert}](../runbooks/{outcome.alert}.md)"
    kept[outcome.drill] = f"| `{outcome.drill}` | {alert} | {outcome.cause} | {hour} | {fired} | {cleared} |"
    return f"{head}{separator}{chr(10).join(kept[name] for name in DRILLS if name in kept)}\n\n{after}"


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.0f} s"


if __name__ == "__main__":
    main()
