"""What is published is the wheel: built once, installed into a clean environment, it has all that a user needs."""

import os
import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONSUMER = Path(__file__).parent / "api_consumer.py"
UV = Path(sys.executable).parent / "uv"
STEP_S = 240

EVERY_HELP = """
import click
from processor.cli import main

def visit(command, context):
    command.get_help(context)
    for name in command.list_commands(context) if isinstance(command, click.Group) else ():
        found = command.get_command(context, name)
        visit(found, click.Context(found, info_name=name, parent=context))

visit(main, click.Context(main, info_name="credits"))
"""

CONSOLE = """
import sys
from starlette.requests import Request
from processor.console.readmodel import open_readmodel
from processor.console.rendering import render
from processor.console.web import STATIC, create_app

open_readmodel(f"sqlite:///{sys.argv[1]}").dispose()
assert {file.suffix for file in STATIC.iterdir()} == {".css", ".js", ".svg"}
values = {"token": "", "left": False, "failed": None, "provider": None, "oidc": ""}
request = Request({"type": "http", "path": "/login", "headers": [], "server": ("localhost", 80)})
sys.stdout.buffer.write(render(request, "ar", "login.html", **values).body)
"""


@dataclass(frozen=True)
class Installed:
    """The wheel, and a clean environment that holds nothing but it and what it asks for."""

    wheel: Path
    python: Path

    def run(self, *command: object) -> str:
        """Runs a program far from the checkout; returns what it printed."""
        return run(*command, cwd=self.wheel.parent)

    @property
    def credits(self) -> Path:
        return self.python.parent / "credits"

    @property
    def names(self) -> list[str]:
        with zipfile.ZipFile(self.wheel) as archive:
            return archive.namelist()

    @property
    def metadata(self) -> Message:
        (name,) = (name for name in self.names if name.endswith(".dist-info/METADATA"))
        with zipfile.ZipFile(self.wheel) as archive:
            return message_from_bytes(archive.read(name))


def run(*command: object, cwd: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, timeout=STEP_S, check=False)
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    run(UV, "build", "--quiet", "--wheel", "--out-dir", directory, cwd=ROOT)
    (built,) = directory.glob("*.whl")
    return built


def install(wheel: Path, directory: Path, *extras: str) -> Installed:
    python = directory / "venv" / "bin" / "python"
    run(UV, "venv", "--quiet", "--python", sys.executable, python.parents[1], cwd=directory)
    locked = directory / "locked.txt"
    export = ("--quiet", "--frozen", "--no-default-groups", "--no-emit-project", "--no-hashes", "--output-file", locked)
    run(UV, "export", *export, *(f"--extra={extra}" for extra in extras), cwd=ROOT)
    run(UV, "pip", "install", "--quiet", "--python", python, "--requirement", locked, wheel, cwd=directory)
    return Installed(wheel, python)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return install(wheel, tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def with_console(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return install(wheel, tmp_path_factory.mktemp("console"), "console")


def test_the_wheel_holds_the_package_its_types_and_its_schemas_and_nothing_else(installed: Installed) -> None:
    assert {name.split("/")[0].split("-")[0] for name in installed.names} == {"processor", "communication_credits"}
    assert "processor/py.typed" in installed.names
    kept = {str(path.relative_to(ROOT / "schemas")) for path in (ROOT / "schemas").rglob("*") if path.is_file()}
    packaged = {name.removeprefix("processor/contracts/published/") for name in installed.names}
    assert kept <= packaged
    package = {path for path in (ROOT / "processor").rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert {str(path.relative_to(ROOT)) for path in package} <= set(installed.names)


def test_the_metadata_say_what_a_registry_shows(installed: Installed) -> None:
    metadata = installed.metadata
    assert metadata["Name"] == "communication-credits"
    assert re.fullmatch(r"\d+\.\d+\.\d+", metadata["Version"])
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata["Summary"]


def test_the_installed_command_answers(installed: Installed) -> None:
    assert installed.run(installed.credits, "--version").split()[0] == "communication-credits"
    assert "check-producer" in installed.run(installed.credits, "--help")
    assert "447911" in installed.run(installed.credits, "rates", "price", "+447911123456", "--seconds", "65")


def test_no_command_needs_what_only_the_checkout_has(installed: Installed) -> None:
    installed.run(installed.python, "-c", EVERY_HELP)


def test_the_installed_package_reads_the_schemas_that_it_ships(installed: Installed) -> None:
    program = "from processor.stream.topics import declared, schemas_dir; print(schemas_dir()); print(len(declared()))"
    directory, count = installed.run(installed.python, "-c", program).split()
    assert Path(directory).parts[-3:] == ("processor", "contracts", "published")
    assert int(count) >= 11


def test_the_console_is_installed_with_its_pages_translations_and_migrations(
    with_console: Installed, tmp_path: Path
) -> None:
    kept = ("--data-dir", tmp_path)
    token = with_console.run(
        with_console.credits, "console", "token", "add", "x", "--role", "viewer", "--all-tenants", *kept
    )
    assert "cct_" in token
    assert "تسجيل الدخول" in with_console.run(with_console.python, "-c", CONSOLE, tmp_path / "model.sqlite")


def test_the_types_of_the_library_reach_its_user(installed: Installed) -> None:
    """Also that wrong use is an error: under --strict an ignore that hides nothing is one itself."""
    mypy = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--config-file", os.devnull]
    installed.run(*mypy, "--python-executable", installed.python, CONSUMER)
    installed.run(installed.python, CONSUMER)
