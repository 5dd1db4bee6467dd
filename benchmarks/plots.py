"""`make bench-plots`: draws the latest points of growth.py into docs/images/ and prints their tables."""

import math
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import runs
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter
from recorded import latest

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
AXES = {
    "accounts": "accounts, all with usage alike",
    "ids": "remembered event ids",
    "partitions": "partitions of one worker",
    "prefixes": "prefixes of the rate deck",
}
COLUMNS = {
    "events_per_s_second_half": "events/s",
    "cpu_s_per_million": "CPU s per million",
    "broker_cpu_s_per_million": "broker's",
    "events_per_commit": "events per commit",
    "end_own_mib": "memory, MiB",
    "peak_mib": "peak with mapped files, MiB",
    "ready_s": "ready after, s",
    "idle_cores": "cores at rest",
}
LOAD_COLUMNS = {
    "achieved_per_s": "committed/s",
    "p50_ms": "p50, ms",
    "p99_ms": "p99, ms",
    "meter_cores": "meter, cores",
    "broker_cores": "broker",
    "sender_cores": "sender",
    "sender_late_p99_ms": "sender late, p99, ms",
}
COMMON = "partitions-8"
TARGET_MS = 500
THOUSAND = 1000
RATE, MEMORY, BROKER = "#3949ab", "#00897b", "#9e9e9e"


def main() -> None:
    """Draws both pictures and prints the tables as the page has them."""
    mpl.use("svg")
    plt.rcParams |= {"font.size": 9, "axes.spines.top": False, "svg.hashsalt": "credits", "axes.grid": True}
    plt.rcParams |= {"grid.alpha": 0.3, "legend.frameon": False}
    points = latest()
    growth(points)
    load(points)
    print(table(along(points, "load"), {"offered_per_s": "offered/s", **LOAD_COLUMNS}))
    for axis in (*AXES, "processes"):
        print(table(along(points, axis), {axis: axis, **COLUMNS}))


def table(points: list[runs.Figures], columns: dict[str, str]) -> str:
    """Returns a Markdown table of some figures of the points."""
    lines = [list(columns.values()), ["---"] * len(columns)]
    lines += [[f"{point[name]:,}" if name in point else "–" for name in columns] for point in points]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def along(points: dict[str, runs.Figures], axis: str) -> list[runs.Figures]:
    """Returns the points of one axis, ascending, and the one that all axes have in common, if it is on this one."""
    named = [(int(name.rpartition("-")[2]), point) for name, point in points.items() if name.startswith(f"{axis}-")]
    common = points.get(COMMON, {})
    if axis in AXES and common.get(axis) and common[axis] not in dict(named):
        named.append((int(common[axis]), common))
    return [point for _, point in sorted(named, key=lambda pair: pair[0])]


def growth(points: dict[str, runs.Figures]) -> None:
    """Draws rate and memory along every axis."""
    figure, places = plt.subplots(2, 2, figsize=(9, 6), layout="constrained")
    for place, (axis, title) in zip(places.flat, AXES.items(), strict=True):
        chosen = along(points, axis)
        sizes = [point[axis] for point in chosen]
        place.set_xscale("log")
        place.set_xticks(sizes, minor=False)
        place.set_xticks([], minor=True)
        place.xaxis.set_major_formatter(EngFormatter(sep=""))
        place.set_title(title, fontsize=9)
        place.plot(sizes, [point["events_per_s_second_half"] for point in chosen], "o-", color=RATE)
        _upwards(place, "events/s", RATE)
        beside = place.twinx()
        beside.grid(visible=False)
        beside.plot(sizes, [point["end_own_mib"] * 2**20 for point in chosen], "s--", color=MEMORY)
        _upwards(beside, "memory without mapped files, B", MEMORY)
    _save(figure, "growth")


def load(points: dict[str, runs.Figures]) -> None:
    """Draws what was achieved, how long it took and what it cost against what was offered."""
    chosen = along(points, "load")
    offered = [point["offered_per_s"] for point in chosen]
    figure, (rate, latency, cores) = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
    for place in (rate, latency, cores):
        place.set_xlabel("events/s offered")
        place.xaxis.set_major_formatter(EngFormatter(sep=""))
    rate.plot(offered, offered, ":", color=BROKER, label="offered")
    rate.plot(offered, [point["achieved_per_s"] for point in chosen], "o-", color=RATE, label="committed")
    _upwards(rate, "events/s", "black")
    latency.plot(offered, [point.get("p50_ms", math.nan) for point in chosen], "o-", color=MEMORY, label="p50")
    latency.plot(offered, [point.get("p99_ms", math.nan) for point in chosen], "o-", color=RATE, label="p99")
    latency.axhline(TARGET_MS, color=BROKER, linestyle=":", label=f"{TARGET_MS} ms")
    latency.set_yscale("log")
    latency.set_ylabel("ms from usage to recharge command")
    cores.plot(offered, [point["meter_cores"] for point in chosen], "o-", color=RATE, label="meter")
    cores.plot(offered, [point["broker_cores"] for point in chosen], "s--", color=MEMORY, label="broker")
    cores.plot(offered, [point["sender_cores"] for point in chosen], "^:", color=BROKER, label="sender")
    _upwards(cores, "cores used", "black")
    for place in (rate, latency, cores):
        place.legend()
    _save(figure, "load")


def _upwards(place: Axes, label: str, color: str) -> None:
    place.set_ylim(0, 1.12 * max(max(line.get_ydata()) for line in place.get_lines()))
    place.set_ylabel(label, color=color)
    if place.get_ylim()[1] >= THOUSAND:
        place.yaxis.set_major_formatter(EngFormatter(sep=""))


def _save(figure: plt.Figure, name: str) -> None:
    figure.savefig(IMAGES / f"{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
