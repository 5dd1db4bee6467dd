"""What growth.py has recorded, for the pictures and for the tests of the pages that quote it."""

import json
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"


def latest() -> dict[str, dict[str, float]]:
    """Returns the points of the latest run of every axis: those of different days are not comparable."""
    runs = [run for path in RESULTS.glob("*-growth-*.json") for run in json.loads(path.read_text("utf-8"))]
    axes = {run["load"]["axis"]: run["cases"] for run in sorted(runs, key=lambda run: run["at"])}
    return {name: case for cases in axes.values() for name, case in cases.items()}
