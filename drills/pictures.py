"""`make pictures`: draws each dashboard's panels from a real Prometheus that has watched a run with some faults in it.

The expressions, titles, units and legends are those of the dashboards' JSON; the picture of a page is a row of two
panels after the other, as Grafana lays them out.
"""

import json
import os
import re
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import Any, Final, NamedTuple

import click
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, FuncFormatter, PercentFormatter

from drills.parts import freeze, wake
from drills.prometheus import Prometheus, Series
from drills.world import World
from processor.contracts import topics

ROOT: Final = Path(__file__).resolve().parents[1]
DASHBOARDS: Final = ROOT / "deploy" / "grafana" / "dashboards"
IMAGES: Final = ROOT / "docs" / "images"
RATE_INTERVAL: Final = "15s"
STEP_S: Final = 2.0
PANEL_INCHES: Final = (7.2, 2.5)
LEGEND_MOST: Final = 8
PER_SECOND: Final = FuncFormatter(lambda value, _: f"{value:,g}/s")
UNITS: Final = {
    "s": EngFormatter("s"),
    "percentunit": PercentFormatter(1, decimals=1),
    "bytes": EngFormatter("B"),
    "reqps": PER_SECOND,
    "cps": PER_SECOND,
    "short": EngFormatter(),
    "none": EngFormatter(),
}


class Line(NamedTuple):
    """One series of a panel under its legend."""

    legend: str
    series: Series


def story(world: World, minutes: float) -> tuple[float, float]:
    """Runs the demo with a bad release, a hanging broker, a reload and a killed worker; returns when it was."""
    world.work(recharge_backoff_s=20, recharge_backoff_max_s=20)
    world.pay("--decline-rate", "0.05", "--timeout-rate", "0.05")
    world.audit()
    world.until("both workers are up", world.up)
    world.platform("--open", "--tenants", "200", "--rate", "300", "--skew", "--duplicates", "0.02", "--max-units", "20")
    world.until("usage is charged", world.calm)
    part_s = minutes * 60 / 5
    began = time.time()
    world.pause(part_s)
    world.produce(topics.USAGE_CALL, [("tenant-00001", b"<call/>")] * 40)
    os.kill(world.worker.pid, signal.SIGHUP)
    world.pause(part_s)
    freeze(world.broker.pid)
    world.pause(6)
    wake(world.broker.pid)
    world.pause(part_s)
    world.worker.kill()
    world.pause(3)
    world.worker.start()
    world.pause(2 * part_s)
    return began, time.time()


def lines(prometheus: Prometheus, panel: dict[str, Any], when: tuple[float, float]) -> Iterator[Line]:
    """Asks for every series of a panel over the run."""
    for target in panel["targets"]:
        expression = target["expr"].replace("$__rate_interval", RATE_INTERVAL)
        for series in prometheus.graph(expression, *when, STEP_S):
            yield Line(legend(target["legendFormat"], series.labels), series)


def legend(template: str, labels: Mapping[str, str]) -> str:
    """Fills Grafana's template of a legend, `{{instance}} {{stage}}`."""
    return re.sub(r"{{(\w+)}}", lambda found: labels.get(found[1], ""), template)


def draw(axes: Axes, panel: dict[str, Any], found: list[Line]) -> None:
    """Draws one panel; those of many series that are zero all the time are only counted in the legend."""
    axes.set_title(panel["title"], loc="left", fontsize=10)
    axes.yaxis.set_major_formatter(UNITS[panel["fieldConfig"]["defaults"]["unit"]])
    if panel["type"] == "heatmap":
        _heat(axes, found)
        return
    shown = [line for line in found if np.nan_to_num(line.series.values).any()] or found
    for line in shown:
        axes.plot(*_with_gaps(line.series), linewidth=1.2, label=line.legend)
    if all(not np.nan_to_num(line.series.values).any() for line in shown):
        axes.set_ylim(-0.05, 1)
    else:
        axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
    handles, names = axes.get_legend_handles_labels()
    quiet, more = len(found) - len(shown), len(shown) - LEGEND_MOST
    names = names[:LEGEND_MOST]
    title = ", ".join(filter(None, [f"{more} more" if more > 0 else "", f"{quiet} more, all 0" if quiet else ""]))
    shown_legend = axes.legend(
        handles[:LEGEND_MOST],
        names,
        title=title,
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        fontsize=7,
        frameon=False,
    )
    shown_legend.get_title().set_fontsize(7)


def _heat(axes: Axes, found: list[Line]) -> None:
    """Draws cumulative buckets as a heat map, one row per bucket."""
    buckets = sorted((line for line in found if line.legend != "+Inf"), key=lambda line: float(line.legend))
    times = sorted({at for line in buckets for at in line.series.times})
    grid = np.zeros((len(buckets), len(times)))
    for row, line in enumerate(buckets):
        grid[row, np.searchsorted(times, line.series.times)] = line.series.values
    each = np.diff(grid, axis=0, prepend=0)
    mesh = axes.pcolormesh(
        _times(times), np.arange(len(buckets)), np.maximum(each, 0), cmap="viridis", shading="nearest"
    )
    axes.set_yticks(range(len(buckets)), [f"≤ {EngFormatter('s')(float(line.legend))}" for line in buckets], fontsize=7)
    bar = plt.colorbar(mesh, ax=axes, pad=0.01)
    bar.set_label("records/s", fontsize=7)
    bar.ax.tick_params(labelsize=7)


def _with_gaps(series: Series) -> tuple[Any, Any]:
    """Returns times and values on the whole grid of the query, so that a line breaks where nothing was scraped."""
    at = np.rint((np.array(series.times) - series.times[0]) / STEP_S).astype(int)
    values = np.full(at[-1] + 1, np.nan)
    values[at] = series.values
    return _times(series.times[0] + STEP_S * np.arange(len(values))), values


def _times(seconds: "Sequence[float] | np.ndarray[Any, Any]") -> Any:
    return (np.array(seconds) * 1000).astype("datetime64[ms]")


def page(prometheus: Prometheus, dashboard: dict[str, Any], when: tuple[float, float], path: Path) -> None:
    """Draws a dashboard: its rows' names, and their panels two by two."""
    rows: list[tuple[str, list[dict[str, Any]]]] = []
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            rows.append((panel["title"], [*panel["panels"]]))
        else:
            rows[-1][1].append(panel)
    heights = [-(-len(panels) // 2) for _, panels in rows]
    width, height = PANEL_INCHES
    figure = plt.figure(figsize=(2 * width, height * sum(heights) + 0.5 * len(rows) + 0.4), layout="constrained")
    figure.suptitle(dashboard["title"], x=0.01, ha="left", fontsize=14, fontweight="bold")
    ratios = [height * count + 0.5 for count in heights]
    parts = figure.subfigures(len(rows), 1, height_ratios=ratios, squeeze=False).flat
    for part, (name, panels), count in zip(parts, rows, heights, strict=True):
        part.suptitle(name, x=0.01, ha="left", fontsize=11)
        places = part.subplots(count, 2, squeeze=False).flat
        for axes, panel in zip(places, [*panels, *[None] * (2 * count - len(panels))], strict=True):
            if panel is None:
                axes.axis("off")
                continue
            found = list(lines(prometheus, panel, when))
            if not found:
                raise click.ClickException(f"{dashboard['title']}: {panel['title']} has no data")
            draw(axes, panel, found)
    figure.savefig(path, dpi=90)
    plt.close(figure)


@click.command()
@click.option("--minutes", type=click.FloatRange(1, 60), default=2, show_default=True, help="How long the run lasts.")
@click.option("--into", type=click.Path(file_okay=False, path_type=Path), default=IMAGES, show_default="docs/images")
def main(minutes: float, into: Path) -> None:
    """Run the demo with some faults, watched by a real Prometheus, and draw every dashboard of it."""
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    mpl.use("Agg")
    mpl.rcParams |= {
        "date.converter": "concise",
        "axes.grid": True,
        "grid.alpha": 0.3,
        "xtick.labelsize": 7,
        "ytick.labelsize": 7,
    }
    with tempfile.TemporaryDirectory(prefix="credits-pictures-") as directory, World(Path(directory), 1, stop) as world:
        when = story(world, minutes)
        for file in sorted(DASHBOARDS.glob("*.json")):
            page(world.prometheus, json.loads(file.read_text()), when, into / f"dashboard-{file.stem}.png")
            click.echo(into / f"dashboard-{file.stem}.png")


if __name__ == "__main__":
    main()
