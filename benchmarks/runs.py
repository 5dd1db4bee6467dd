"""Runs of a benchmark as they are kept in `results/`: one file per kind, day and machine, and the comparison of two."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import harness
from rich.console import Console
from rich.table import Table

DIRECTORY = Path(__file__).resolve().parent / "results"

Figures = dict[str, float]
Run = dict[str, Any]


def new_run(cases: dict[str, Figures], load: dict[str, Any], kind: str = "system") -> Run:
    """Describes what was measured, when, on which machine and with which load."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    return {"kind": kind, "at": at, "machine": harness.machine(), "cases": cases, "load": load}


def append(run: Run) -> Path:
    """Adds the run to the file of its kind, day and machine."""
    path = DIRECTORY / f"{run['at'][:10]}-{_slug(run)}.json"
    runs = json.loads(path.read_text()) if path.exists() else []
    DIRECTORY.mkdir(exist_ok=True)
    path.write_text(json.dumps([*runs, run], indent=2) + "\n")
    return path


def last_run(run: Run) -> Run | None:
    """Returns the latest recorded run of the same load on such a machine."""
    runs = [
        earlier
        for path in sorted(DIRECTORY.glob(f"*-{_slug(run)}.json"))
        for earlier in json.loads(path.read_text())
        if earlier["load"] == run["load"]
    ]
    return runs[-1] if runs else None


def finish(run: Run, *, record: bool, as_json: bool) -> None:
    """Prints the run for people or for programs, and keeps it."""
    if as_json:
        click.echo(json.dumps(run, indent=2))
    else:
        show(run)
    if record:
        append(run)


def show(run: Run) -> None:
    """Prints the figures beside those of the run before."""
    before = last_run(run)
    table = Table("case", "figure", title=title(run))
    table.add_column("now", justify="right")
    table.add_column(f"before ({before['at'][:10]})" if before else "before", justify="right")
    table.add_column("change", justify="right")
    for case, figures in run["cases"].items():
        for name, value in figures.items():
            earlier = before["cases"].get(case, {}).get(name) if before else None
            change = f"{(value - earlier) / earlier:+.1%}" if earlier else ""
            table.add_row(case, name, f"{value:,}", f"{earlier:,}" if earlier is not None else "", change)
        table.add_section()
    Console().print(table)


def title(run: Run) -> str:
    """Says in one line what the figures were measured on."""
    machine = run["machine"]
    return f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, Python {machine['python']}"


def _slug(run: Run) -> str:
    """Names kind and machine by what makes figures comparable."""
    machine = run["machine"]
    slug = re.sub(r"[^a-z0-9]+", "-", f"{machine['cpu']} {machine['cores']} cores".lower()).strip("-")
    return slug if run["kind"] == "system" else f"{run['kind']}-{slug}"
