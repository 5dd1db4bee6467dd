"""The command as a whole: help, exit codes, settings by flag and environment."""

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from processor.cli import SECTIONS, main
from processor.cli.common import BrokerUnreachable, CommandFailed, StoppedItself, make_settings

COMMANDS = [name for section in SECTIONS.values() for name in section]

# What kafka-python does while it is imported.
pytestmark = pytest.mark.filterwarnings("ignore:.* is deprecated. Use files:DeprecationWarning")


def run(*arguments: str, env: dict[str, str] | None = None) -> "click.testing.Result":
    return CliRunner().invoke(main, arguments, env=env, prog_name="credits")


def test_the_help_names_every_command_by_the_job_it_does_and_the_exit_codes() -> None:
    result = run("--help")
    assert result.exit_code == 0
    places = [result.output.index(f"\n{title}:") for title in ("Run", "Look", "Change", "Check")]
    assert places == sorted(places)
    for name in COMMANDS:
        assert f"\n  {name} " in result.output
    assert "75 the broker cannot be reached" in " ".join(result.output.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_with_an_example(name: str) -> None:
    result = run(name, "--help")
    assert result.exit_code == 0, result.output
    assert result.output.startswith(f"Usage: credits {name}")
    if not isinstance(main.get_command(click.Context(main), name), click.Group):
        assert "Example" in result.output
    assert max(map(len, result.output.splitlines())) <= 80


def test_the_help_imports_no_kafka_client() -> None:
    program = "import sys, processor.cli as c\ntry: c.main(['--help'])\nexcept SystemExit: pass\nprint(*sys.modules)"
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    modules = set(output.splitlines()[-1].split())
    assert not modules & {"kafka", "confluent_kafka", "pydantic", "faust", "rich", "msgspec"}


def test_the_version_is_the_packages() -> None:
    from importlib.metadata import version

    assert run("--version").output == f"communication-credits {version('communication-credits')}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("--nonsense",),
        ("fund", "t"),
        ("fund", "t", "five"),
        ("fund", "t", "0"),
        ("fund", "t", "1e3"),
        ("fund", "t", "1.0000001"),
        ("fund", "", "50"),
        ("fund", "t" * 129, "50"),
        ("fund", "t", "50", "--currency", "usd"),
        ("fund", "t", "50", "--timeout", "0"),
        ("fund", "t", "1000000.01"),
        ("autopay", "t"),
        ("autopay", "t", "--amount", "50"),
        ("autopay", "t", "--amount", "50", "--trigger", "20", "--max-per-day", "0"),
        ("balance",),
        ("ledger", "t", "--last", "0"),
        ("simulate", "--duplicates", "1"),
        ("simulate", "--tenants", "0"),
        ("simulate", "--rates", "/nowhere.csv"),
        ("payment-worker", "--decline-rate", "2"),
        ("payment-worker", "--provider", "cash"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_is_wrong(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert "Error: " in result.output


@pytest.mark.parametrize("arguments", [("balance", "t"), ("ledger", "t"), ("fund", "t", "50"), ("simulate",)])
def test_a_broker_out_of_reach_ends_with_75_and_the_remedy(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processor.cli.reading.CONNECT_TIMEOUT_S", 0.2)
    result = run(*arguments, env={"CREDITS_BROKERS": "127.0.0.1:1"})
    assert result.exit_code == 75, result.output
    assert "broker cannot be reached at 127.0.0.1:1: is it running?" in result.output
    assert "credits kafka up" in result.output
    assert "CREDITS_BROKERS" in result.output


def test_the_errors_have_the_documented_exit_codes() -> None:
    codes = {CommandFailed("x").exit_code, StoppedItself("x").exit_code, BrokerUnreachable("x").exit_code}
    assert codes == {1, 70, 75}


def test_a_flag_wins_over_the_environment_and_what_is_not_given_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDITS_BROKERS", "from-env:1")
    assert make_settings(brokers=None).brokers == "from-env:1"
    assert make_settings(brokers="from-flag:1").brokers == "from-flag:1"


def test_a_bad_setting_names_itself_and_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDITS_METRICS_PORT", "many")
    with pytest.raises(click.UsageError, match=r"setting metrics_port \(CREDITS_METRICS_PORT\)"):
        make_settings()


def test_a_named_settings_file_must_exist_and_be_toml(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CREDITS_CONFIG", str(tmp_path / "absent.toml"))
    with pytest.raises(click.UsageError, match="does not exist"):
        make_settings()
    (tmp_path / "broken.toml").write_text("brokers = ")
    monkeypatch.setenv("CREDITS_CONFIG", str(tmp_path / "broken.toml"))
    with pytest.raises(click.UsageError, match="cannot be read"):
        make_settings()
