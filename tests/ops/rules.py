"""The files under deploy/ as the tests read them: alerts, recorded ratios, dashboards, and the metrics they name."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from processor.observability.auditor import Auditor
from processor.observability.registry import worker_registry
from processor.payments.counters import Payments

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES = sorted(PROMETHEUS.glob("*.rules.yml"))
DASHBOARDS = ROOT / "deploy" / "grafana" / "dashboards"
RUNBOOKS = ROOT / "docs" / "runbooks"
NEEDS_PROMETHEUS = "install it: apt-get install prometheus"

_NAME = re.compile(r"\b(?:credits(?::\w+)+|credits_\w+|process_\w+|up)\b")


def tool(name: str) -> str:
    """Returns the path of a program of the Debian package `prometheus`, or skips the test."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"no {name}: {NEEDS_PROMETHEUS}")
    return path


def groups() -> list[str]:
    """Returns the names of the groups of rules; the alerts are in `credits`."""
    return [group["name"] for file in RULES for group in yaml.safe_load(file.read_text())["groups"]]


def rules() -> Iterator[dict[str, Any]]:
    """Yields every rule of every file."""
    for file in RULES:
        for group in yaml.safe_load(file.read_text())["groups"]:
            yield from group["rules"]


def alerts() -> dict[str, dict[str, Any]]:
    """Returns the alerts by name."""
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def records() -> dict[str, str]:
    """Returns the expressions of the recorded series by name."""
    return {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}


def dashboards() -> dict[str, dict[str, Any]]:
    """Returns the dashboards by uid."""
    found = [json.loads(path.read_text()) for path in sorted(DASHBOARDS.glob("*.json"))]
    return {dashboard["uid"]: dashboard for dashboard in found}


def panels(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yields the panels that show something; rows only group."""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            yield from panels(panel)
        else:
            yield panel


def names_in(expression: str) -> set[str]:
    """Returns the series that an expression asks for."""
    return set(_NAME.findall(expression))


def served() -> dict[str, str]:
    """Returns every series that a worker, a payment worker or an auditor serves, with the name of its metric."""
    others = CollectorRegistry()
    Payments(others)
    Auditor(others, every_s=60)
    families = [*worker_registry().collect(), *others.collect()]
    return {sample.name: family.name for family in families for sample in family.samples}
