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
