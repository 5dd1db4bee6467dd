"""Every alert has a drill whose mitigation its runbook gives; some of them, performed for real, fire and clear."""

import re
import subprocess
from pathlib import Path
from threading import Event

import pytest
import yaml

from drills.__main__ import PAGE
from drills.catalogue import DRILLS, Drill
from drills.faster import faster, replace_durations, shorter
from drills.running import perform
from processor.embedded.broker import EmbeddedBroker
from tests.ops.rules import RULES, RUNBOOKS, alerts, tool

PERFORMED = ["worker-killed", "state-tampered-with"]
FACTOR = 240
"""An hour of the rules lasts 15 s here: the suite has no minutes to spare."""


def squeezed(text: str) -> str:
    return " ".join(text.split())


def test_every_alert_has_one_drill() -> None:
    assert sorted(drill.alert for drill in DRILLS.values()) == sorted(alerts())


@pytest.mark.parametrize("drill", DRILLS.values(), ids=lambda drill: drill.name)
def test_a_drill_does_what_the_runbook_says(drill: Drill) -> None:
    mitigation = (RUNBOOKS / f"{drill.alert}.md").read_text().split("## Mitigation", 1)[1].split("\n## ", 1)[0]
    assert drill.mitigation in squeezed(mitigation)


def test_the_page_has_the_figures_of_every_drill() -> None:
    row = re.compile(r"^\| `([a-z-]+)` \| \[(\w+)\]\(.*?\) \| (.+) \| \d+ s \| \d+ s \| \d+ s \|$", re.MULTILINE)
    wanted = [(drill.name, drill.alert, drill.cause) for drill in DRILLS.values()]
    assert row.findall(PAGE.read_text()) == wanted, "run `make drills`"


@pytest.mark.parametrize("file", RULES, ids=lambda file: file.name)
def test_faster_rules_differ_in_their_durations_only(file: Path) -> None:
    original = yaml.safe_load(file.read_text())
    made = faster(original, 60)
    for group, faster_group in zip(original["groups"], made["groups"], strict=True):
        for rule, faster_rule in zip(group["rules"], faster_group["rules"], strict=True):
            durations = re.findall(r"\[([^\]]*)\]|offset (\w+)", rule["expr"])
            wanted = [shorter(inside or offset, 60) for inside, offset in durations]
            assert [
                inside or offset for inside, offset in re.findall(r"\[([^\]]*)\]|offset (\w+)", faster_rule["expr"])
            ] == wanted
            assert replace_durations(rule["expr"], lambda _: "1h") == replace_durations(
                faster_rule["expr"], lambda _: "1h"
            )
            assert faster_rule.get("for") == (shorter(rule["for"], 60) if "for" in rule else None)
            assert {**rule, "expr": "", "for": ""} == {**faster_rule, "expr": "", "for": ""}


def test_an_hour_becomes_a_minute_and_what_is_no_duration_is_refused() -> None:
    assert shorter("1h", 60) == "60000ms"
    assert shorter("5m", 240) == "1250ms"
    with pytest.raises(ValueError, match="1h30m"):
        shorter("1h30m", 60)


@pytest.mark.parametrize("factor", [20, 60, FACTOR])
def test_prometheus_accepts_the_faster_rules(factor: int, tmp_path: Path) -> None:
    for file in RULES:
        (tmp_path / file.name).write_text(yaml.safe_dump(faster(yaml.safe_load(file.read_text()), factor)))
    checked = [tool("promtool"), "check", "rules", *map(str, tmp_path.glob("*.yml"))]
    done = subprocess.run(checked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", PERFORMED)
def test_the_alert_fires_in_a_real_prometheus_and_ends_after_the_mitigation(broker: EmbeddedBroker, name: str) -> None:
    tool("prometheus")
    outcome = perform(DRILLS[name]._replace(factor=FACTOR), print, Event())
    assert outcome.good, outcome
