"""Metrics, rules, dashboards and runbooks hang together: nothing names what is not there, nothing is orphaned."""

import re
import runpy
import subprocess
import sys

import pytest
import yaml

from tests.docs.pages import DOCS, ROOT, anchors
from tests.ops.rules import DASHBOARDS, RUNBOOKS, alerts, dashboards, names_in, panels, records, rules, served

SECTIONS = ["meaning", "impact", "diagnosis", "mitigation", "verify"]
ALWAYS_THERE = {"up"}


def expressions() -> dict[str, str]:
    """Returns every expression of every rule and panel by a name for the reader."""
    found = {rule.get("alert") or rule["record"]: rule["expr"] for rule in rules()}
    for uid, dashboard in dashboards().items():
        for panel in panels(dashboard):
            for target in panel["targets"]:
                found[f"{uid}: {panel['title']} {target['refId']}"] = target["expr"]
    return found


def test_every_series_that_a_rule_or_a_panel_asks_for_is_served_or_recorded() -> None:
    known = served().keys() | records().keys() | ALWAYS_THERE
    assert {name: names_in(text) - known for name, text in expressions().items() if names_in(text) - known} == {}


def test_every_metric_is_watched_by_a_panel_or_an_alert() -> None:
    asked = {name for text in expressions().values() for name in names_in(text)}
    watched = {family for series, family in served().items() if series in asked}
    assert set(served().values()) - watched == set()


def test_every_bucket_that_a_rule_names_exists() -> None:
    bounds = {f'le="{bound}"' for bound in re.findall(r'le="([^"]+)"', str([*records().values()]))}
    assert bounds == {'le="10.0"', 'le="5.0"', 'le="120.0"'}
    named = re.findall(r'(credits_\w+)_bucket\{le="([\d.]+)"\}', str([*records().values()]))
    from processor.observability.registry import worker_registry

    there = {
        (sample.name.removesuffix("_bucket"), sample.labels.get("le"))
        for family in worker_registry().collect()
        for sample in family.samples
    }
    assert set(named) <= there


def test_every_alert_says_what_a_person_needs() -> None:
    for name, alert in alerts().items():
        assert alert["labels"]["severity"] in ("critical", "warning"), name
        assert set(alert["annotations"]) == {"summary", "description", "runbook_url", "dashboard_url"}, name
        assert "{{" not in alert["annotations"]["summary"], name
        assert alert["annotations"]["dashboard_url"].removeprefix("/d/") in dashboards(), name
        assert alert["annotations"]["runbook_url"] == f"docs/runbooks/{name}.md", name


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    assert {path.stem for path in RUNBOOKS.glob("Credits*.md")} == set(alerts())
    listed = (ROOT / "docs" / "index.md").read_text()
    for name, alert in alerts().items():
        assert (
            f"| [{name}](runbooks/{name}.md) | {alert['labels']['severity']} | {alert['annotations']['summary']} |"
            in listed
        )
    for path in RUNBOOKS.glob("Credits*.md"):
        assert path.read_text().startswith(f"# {path.stem}\n")
        assert sorted(anchors(path)) == sorted([path.stem.lower(), *SECTIONS]), path.name


def test_what_a_runbook_or_panel_points_at_exists() -> None:
    titles = {panel["title"] for dashboard in dashboards().values() for panel in panels(dashboard)}
    for path in RUNBOOKS.glob("Credits*.md"):
        text = path.read_text()
        assert names_in(text) <= served().keys() | records().keys() | ALWAYS_THERE, path.name
        for quoted in re.findall(r"\*([A-Z][^*]+)\*", text):
            assert any(quoted in title for title in titles), f"{path.name}: {quoted}"
    for dashboard in dashboards().values():
        for panel in panels(dashboard):
            assert set(re.findall(r"\bCredits[A-Z]\w+", panel["description"])) <= set(alerts()), panel["title"]


def test_every_panel_has_a_title_a_unit_a_templated_source_and_says_what_to_do() -> None:
    for dashboard in dashboards().values():
        assert [variable["type"] for variable in dashboard["templating"]["list"]] == ["datasource"]
        for panel in panels(dashboard):
            assert panel["title"]
            assert len(panel["description"]) > 40, panel["title"]
            assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
            assert panel["datasource"]["uid"] == "${source}", panel["title"]
            for target in panel["targets"]:
                assert not re.search(r"\[\d+[smhd]\]", target["expr"]), f"{panel['title']}: use $__rate_interval"


def test_the_dashboards_are_what_the_script_writes() -> None:
    script = str(ROOT / "scripts" / "dashboards")
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {path.stem for path in DASHBOARDS.glob("*.json")} == {
        title.lower() for title in runpy.run_path(script)["DASHBOARDS"]
    }


def test_the_page_shows_a_picture_of_every_dashboard() -> None:
    shown = re.findall(
        r"!\[.+\]\(\.\./images/dashboard-(\w+)\.png\)", (DOCS / "reference" / "dashboards.md").read_text()
    )
    assert sorted(shown) == sorted(path.stem for path in DASHBOARDS.glob("*.json"))
    assert all((DOCS / "images" / f"dashboard-{name}.png").is_file() for name in shown)


@pytest.mark.parametrize("file", ["prometheus.yml"])
def test_prometheus_loads_every_rule_file(file: str) -> None:
    config = yaml.safe_load((ROOT / "deploy" / "prometheus" / file).read_text())
    assert config["rule_files"] == ["*.rules.yml"]
