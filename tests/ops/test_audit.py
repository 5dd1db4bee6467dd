"""`make audit` lists licences without a network, finds what is known to be vulnerable, and never passes over a gap."""

import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "audit"
AUDIT = runpy.run_path(str(SCRIPT))
OFFLINE = {"UV_OFFLINE": "1", "HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
HERE = ["msgspec", msgspec.__version__]


def audit(directory: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs the script where no network and no tool from an earlier run is at hand."""
    environment = os.environ | OFFLINE | {"UV_TOOL_DIR": str(directory / "tools"), "UV_CACHE_DIR": str(directory / "c")}
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def advise(directory: Path, name: str, **affected: Any) -> Path:
    """Writes a copy of the advisories with one record."""
    record = {"id": "PYSEC-1", "modified": "2026-11-01T00:00:00Z", "summary": "bad"}
    record |= {"affected": [{"package": {"ecosystem": "PyPI", "name": name}, **affected}]}
    directory.mkdir(exist_ok=True)
    (directory / "one.json").write_bytes(msgspec.json.encode(record))
    return directory


def test_without_a_network_licences_are_listed_and_the_rest_is_said_to_be_unchecked(tmp_path: Path) -> None:
    done = audit(tmp_path)
    assert done.returncode == AUDIT["UNCHECKED"] != 0, done.stderr
    lines = {tuple(line.rsplit("  ", 1)[1].split()) for line in done.stdout.splitlines() if "  " in line}
    assert tuple(HERE) in lines
    assert AUDIT["locked"]().keys() >= {"faust-streaming", "confluent-kafka", "opentelemetry-sdk", "psycopg", "stripe"}
    assert "NOT CHECKED for known vulnerabilities" in done.stderr
    assert "make audit ADVISORIES=DIR" in done.stderr


def test_a_vulnerable_version_is_found_in_a_copy_of_the_advisories(tmp_path: Path) -> None:
    span = {"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}
    done = audit(tmp_path, advise(tmp_path / "db", "MsgSpec", ranges=[span]))
    assert done.returncode == AUDIT["FOUND"], done.stdout
    assert f"vulnerable: MsgSpec {msgspec.__version__}: PYSEC-1 bad" in done.stderr


def test_a_copy_that_knows_nothing_of_what_is_locked_passes_and_says_how_old_it_is(tmp_path: Path) -> None:
    done = audit(tmp_path, advise(tmp_path / "db", "somebody-elses", versions=["1.0"]))
    assert done.returncode == 0, done.stderr
    assert "1 advisories, the newest of 2026-11-01" in done.stdout


def test_a_directory_without_advisories_is_no_proof(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert audit(tmp_path, tmp_path / "empty").returncode == AUDIT["UNCHECKED"]


@pytest.mark.parametrize(
    ("events", "inside"),
    [
        ([{"introduced": "0"}, {"fixed": "2"}], ["0.1", "1", "1.9"]),
        ([{"introduced": "1"}, {"fixed": "2"}, {"introduced": "3"}], ["1", "1.9", "3", "4"]),
        ([{"introduced": "1"}, {"last_affected": "2"}], ["1", "1.9", "2"]),
    ],
)
def test_ranges_are_read_as_osv_means_them(events: list[dict[str, str]], inside: list[str]) -> None:
    tried = ["0.1", "1", "1.9", "2", "2.5", "3", "4"]
    assert [version for version in tried if AUDIT["_within"](Version(version), events)] == inside


@pytest.mark.parametrize("licence", ["AGPL-3.0-only", "GNU Affero General Public License v3", "UNKNOWN"])
def test_a_licence_that_would_bind_the_product_is_refused(licence: str) -> None:
    found = [{"Name": "a", "Version": "1", "License": licence}, {"Name": "b", "Version": "1", "License": "MIT"}]
    assert AUDIT["refused"](found) == [f"a 1: {licence}"]
