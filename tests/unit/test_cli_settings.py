"""`credits settings` shows every value with its source and no secret."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from processor.cli import main
from processor.settings import Settings


def settings(*arguments: str) -> dict[str, dict[str, Any]]:
    result = CliRunner().invoke(main, ["settings", "--json", *arguments])
    assert result.exit_code == 0, result.output
    return json.loads(result.output)  # type: ignore[no-any-return]


def test_every_setting_is_shown_with_where_it_comes_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "credits.toml"
    file.write_text('app_id = "from-file"\ndefault_currency = "EUR"\n')
    monkeypatch.setenv("CREDITS_CONFIG", str(file))
    monkeypatch.setenv("CREDITS_DEFAULT_CURRENCY", "GBP")
    shown = settings("--brokers", "flagged:1")
    assert shown.keys() == Settings.model_fields.keys()
    assert shown["brokers"] == {"value": "flagged:1", "source": "flag"}
    assert shown["default_currency"] == {"value": "GBP", "source": "CREDITS_DEFAULT_CURRENCY"}
    assert shown["app_id"] == {"value": "from-file", "source": str(file)}
    assert shown["metrics_port"] == {"value": 9464, "source": "default"}


def test_secrets_are_masked_for_programs_and_people(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDITS_SASL_PASSWORD", "hunter2")
    assert settings()["sasl_password"]["value"] == "**********"
    result = CliRunner().invoke(main, ["settings"])
    assert result.exit_code == 0
    assert "hunter2" not in result.output
    assert "sasl_password" in result.output


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("CREDITS_RECHARGE_MAX_PERDAY", "CREDITS_RECHARGE_MAX_PER_DAY"),
        ("CREDITS_recharge_max_pre_day", "CREDITS_RECHARGE_MAX_PER_DAY"),
        ("CREDITS_BROKER", "CREDITS_BROKERS"),
        ("CREDITS_RECHARGE_DEADLINE", "CREDITS_RECHARGE_DEADLINE_S"),
        ("CREDITS_CONFIGS", "CREDITS_CONFIG"),
    ],
)
def test_a_misspelt_setting_is_refused_with_the_one_that_is_meant(
    monkeypatch: pytest.MonkeyPatch, written: str, meant: str
) -> None:
    """Ignored, it would leave a platform without the limit that somebody has set."""
    monkeypatch.setenv(written, "3")
    result = CliRunner().invoke(main, ["settings"])
    assert result.exit_code == 2
    assert f"{written} is no setting: did you mean {meant}?" in result.output


@pytest.mark.parametrize("name", ["CREDITS_SERVICE_HOST", "CREDITS_CONSOLE_PORT_8080_TCP_ADDR", "MY_CREDITS_BROKER"])
def test_a_variable_of_another_program_is_let_be(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "3")
    assert settings()["brokers"]["source"] == "default"


def test_a_setting_may_be_written_in_small_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("credits_recharge_max_per_day", "3")
    assert settings()["recharge_max_per_day"]["value"] == 3
