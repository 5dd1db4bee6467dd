"""Every alert fires on its condition, stays silent without it, ends with it, and is not fooled by a restart.

Prometheus's own promtool evaluates the rules over made-up series.
"""

import subprocess
from pathlib import Path

import pytest
import yaml

from tests.ops.alert_cases import CASES, Case
from tests.ops.rules import RULES, alerts, groups, tool


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_alert_fires_when_it_should_and_only_then(case: Case, tmp_path: Path) -> None:
    firing = f'count(ALERTS{{alertname="{case.alert}",alertstate="firing"}}) or vector(0)'
    file = tmp_path / "case.yml"
    file.write_text(
        yaml.safe_dump(
            {
                "rule_files": [str(path) for path in RULES],
                "evaluation_interval": f"{case.step}m",
                # Recorded first, as alerts look at them; without an order promtool chooses one each time.
                "group_eval_order": sorted(groups(), key="credits".__eq__),
                "tests": [
                    {
                        "interval": f"{case.step}m",
                        "name": str(case),
                        "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
                        "promql_expr_test": [
                            {
                                "expr": firing,
                                "eval_time": f"{minute * case.step}m",
                                "exp_samples": [{"labels": "{}", "value": int(fires)}],
                            }
                            for minute, fires in case.firing.items()
                        ],
                    }
                ],
            }
        )
    )
    done = subprocess.run([tool("promtool"), "test", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_proven_to_fire_to_stay_silent_and_to_end() -> None:
    fires = {case.alert for case in CASES if any(case.firing.values())}
    silent = {case.alert for case in CASES if not any(case.firing.values())}
    ends = {case.alert for case in CASES if True in case.firing.values() and not case.firing[max(case.firing)]}
    assert fires == silent == ends == set(alerts())


def test_promtool_accepts_every_rule() -> None:
    done = subprocess.run(
        [tool("promtool"), "check", "rules", *map(str, RULES)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
