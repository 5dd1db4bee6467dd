"""A set-up that cannot go on says what failed, in the tool's own words, and what to do; it blames nothing else."""

import ast
import os
import shutil
import socket
import subprocess
import sys
import venv
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "setup"
FULL = """\
error: Failed to download `fonttools==4.68.0`
  cause: I/O operation failed during extraction
  cause: failed to write to file `agl.py`: No space left on device (os error 28)"""
FOREIGN = "error: failed to create directory `/root/.cache/uv`: Permission denied (os error 13)"
UNHEARD_OF = "error: the lock file was written by the future"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with an environment that has pip already and uv not yet."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(SCRIPT, tmp_path / "scripts")
    for name in ("pyproject.toml", "uv.lock"):
        shutil.copy(ROOT / name, tmp_path)
    venv.create(tmp_path / ".venv", symlinks=True)
    (tmp_path / ".venv" / "bin" / "pip").touch()
    return tmp_path


def install(checkout: Path, program: str, text: str) -> None:
    """Puts a shell script in the place of a program of the environment."""
    path = checkout / ".venv" / "bin" / program
    path.unlink(missing_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def set_up(checkout: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, checkout / "scripts" / "setup"]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)


def module() -> ModuleType:
    loader = SourceFileLoader("setup_script", str(SCRIPT))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    made = module_from_spec(spec)
    loader.exec_module(made)
    return made


def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_without_a_network_uv_is_quoted_and_the_network_is_named(checkout: Path) -> None:
    (checkout / ".venv" / "bin" / "uv").symlink_to(ROOT / ".venv" / "bin" / "uv")
    nobody = f"http://127.0.0.1:{closed_port()}"
    ways = {"HTTPS_PROXY": nobody, "HTTP_PROXY": nobody, "ALL_PROXY": nobody, "NO_PROXY": "", "UV_HTTP_RETRIES": "0"}
    done = set_up(checkout, UV_CACHE_DIR=str(checkout / "cache"), **ways)
    assert done.returncode == 1
    assert "Connection refused" in done.stderr
    assert "setup: installing the dependencies failed: the package index could not be reached\n" in done.stderr
    assert "check the network" in done.stderr
    assert not (checkout / ".venv" / ".ready").exists()


def test_without_a_network_pip_is_quoted_and_the_network_is_named(checkout: Path) -> None:
    shutil.rmtree(checkout / ".venv")
    venv.create(checkout / ".venv", symlinks=True, with_pip=True)
    index = f"http://127.0.0.1:{closed_port()}/simple"
    done = set_up(checkout, PIP_INDEX_URL=index, PIP_RETRIES="0", PIP_CONFIG_FILE=os.devnull)
    assert done.returncode == 1
    assert "uv==" in done.stderr
    assert "setup: installing uv failed: the package index could not be reached\n" in done.stderr


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (FULL, "failed: the disk is full\n       free at least 2 GB"),
        (FOREIGN, "failed: a file or directory belongs to somebody else\n"),
        (UNHEARD_OF, "failed\n       the lines above say why"),
    ],
)
def test_what_a_tool_said_is_shown_and_only_its_own_cause_is_named(checkout: Path, said: str, told: str) -> None:
    install(checkout, "uv", f"cat >&2 <<'END'\n{said}\nEND\nexit 2")
    done = set_up(checkout)
    assert done.returncode == 1
    assert done.stderr.startswith(said)
    assert f"setup: installing the dependencies {told}" in done.stderr
    assert "network" not in done.stderr


def test_an_environment_that_an_interrupted_run_left_without_pip_is_made_again(checkout: Path) -> None:
    (checkout / ".venv" / "bin" / "pip").unlink()
    (checkout / ".venv" / "left-over").touch()
    done = set_up(checkout, PIP_INDEX_URL=f"http://127.0.0.1:{closed_port()}/simple", PIP_RETRIES="0")
    assert "setup: creating .venv\n" in done.stdout
    assert (checkout / ".venv" / "bin" / "pip").exists()
    assert not (checkout / ".venv" / "left-over").exists()


def test_an_old_python_can_read_the_script_and_is_told_which_one_to_install() -> None:
    ast.parse(SCRIPT.read_text(), feature_version=(3, 7))
    with pytest.raises(SystemExit, match=r"Python 3\.10\.13 is too old\n.*install Python 3\.11 or newer"):
        module().check((3, 10, 13), 10**12)


def test_a_disk_that_is_too_full_for_an_environment_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    script = module()
    script.VENV = tmp_path / ".venv"
    with pytest.raises(SystemExit, match=r"only 0\.9 GB of disk are free, 1\.5 are needed"):
        script.check((3, 11, 0), 900_000_000)
    script.VENV.mkdir()
    script.check((3, 11, 0), 900_000_000)
