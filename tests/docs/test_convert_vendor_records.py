"""The page about vendor records: its examples run, its tables name every reason, its output is what is printed."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from processor.adapters import LEAVE_REASONS, REJECT_REASONS, VENDORS
from processor.adapters.graph_api import ATTEMPTS, LONGEST_PAUSE_S
from processor.cli import main
from tests.docs.pages import DOCS, commands_on, first_cells
from tests.unit.vendor_rows import FIXTURES

PAGE = DOCS / "how-to" / "convert-vendor-records.md"
FILES = {
    "calls.json": "graph-pstn-page-1.json",
    "Master.csv": "asterisk-master.csv",
    "Master-berlin.csv": "asterisk-master-uniqueid.csv",
    "calls-twilio.json": "twilio-calls.json",
}
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def runnable() -> list[str]:
    """Commands of the blocks that need no broker; the published one has the same records as the first."""
    spans = [line for line in commands_on(PAGE, "credits") if ".json" in line or ".csv" in line]
    return [line for line in spans if "--publish" not in line and not line.startswith("credits pull")]


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, fixture in FILES.items():
        shutil.copy(FIXTURES / fixture, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("line", runnable())
def test_an_example_converts_its_file(line: str, directory: Path) -> None:
    result = CliRunner().invoke(main, shlex.split(line)[1:])
    assert result.exit_code == ("asterisk" in line), result.output  # those files have bad rows, on purpose
    assert result.stdout_bytes.count(b"\n") >= 2


def test_the_examples_are_one_per_vendor_of_files() -> None:
    assert {line.split()[2] for line in runnable()} == set(VENDORS) - {"freeswitch"}


def test_the_first_example_prints_what_the_page_shows(directory: Path) -> None:
    result = CliRunner().invoke(main, shlex.split(runnable()[0])[1:])
    assert ("text", result.stderr) in BLOCKS


def test_the_program_runs() -> None:
    (program,) = [block for language, block in BLOCKS if language == "python"]
    exec(compile(program, str(PAGE), "exec"), {})  # noqa: S102 - the page's own example


def test_every_reason_is_in_its_table() -> None:
    assert tuple(first_cells(PAGE, "Rows that are no usage")) == LEAVE_REASONS
    assert tuple(first_cells(PAGE, "Rows that are rejected")) == REJECT_REASONS


def test_the_pauses_are_those_of_the_code() -> None:
    assert f"1, 2, 4 … {LONGEST_PAUSE_S:.0f} s; after {ATTEMPTS} attempts" in PAGE.read_text()
