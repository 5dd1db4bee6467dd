"""`credits convert`: events on standard output, a summary and reasons on standard error, exit codes."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from processor.cli import main
from processor.contracts import inputs
from tests.unit.vendor_rows import FIXTURES


def convert(*arguments: str, code: int = 0, stdin: bytes | None = None) -> Result:
    result = CliRunner().invoke(main, ["convert", *arguments, "--tenant", "contoso"], input=stdin)
    assert result.exit_code == code, result.output
    return result


def fixture(name: str) -> str:
    return str(FIXTURES / name)


def test_events_go_to_standard_output_one_per_line_and_the_summary_beside_it() -> None:
    result = convert("twilio", fixture("twilio-calls.json"))
    lines = result.stdout_bytes.splitlines()
    assert [inputs.decode("usage.call.v1", line).id[-1] for line in lines] == ["1", "2", "3"]
    assert result.stderr.splitlines() == [
        "rows: 5",
        "events: 3 (3 usage.call.v1)",
        "no usage: 2 (1 not_answered, 1 not_pstn)",
        "the vendor's own charge for these events: 0.074 USD",
    ]


def test_a_dash_is_standard_input() -> None:
    content = Path(fixture("graph-pstn-page-1.json")).read_bytes()
    assert len(convert("graph", "-", stdin=content).stdout_bytes.splitlines()) == 4


def test_rejected_rows_end_with_exit_code_1_and_are_told_by_reason_and_line() -> None:
    result = convert("asterisk", fixture("asterisk-master.csv"), "--own", "+1800", code=1)
    assert len(result.stdout_bytes.splitlines()) == 3
    assert "rejected: 2" in result.stderr
    assert "schema_invalid: billsec is no number of seconds (line 5)" in result.stderr
    assert "--rejects FILE keeps them" in result.stderr


def test_rejected_rows_are_kept_and_can_be_repaired_and_converted(tmp_path: Path) -> None:
    kept = tmp_path / "rejects.ndjson"
    convert("graph", fixture("graph-pstn-page-2.json"), "--rejects", str(kept), code=1)
    (rejected,) = map(json.loads, kept.read_text().splitlines())
    assert (rejected["line"], rejected["reason"]) == (52, "unknown_call_type")
    assert rejected["message"]
    repaired = rejected["row"].replace("user_out_hologram", "user_out")
    assert convert("graph", "-", stdin=repaired.encode()).stdout_bytes.count(b"\n") == 1


def test_a_row_that_is_no_utf8_can_be_kept(tmp_path: Path) -> None:
    kept = tmp_path / "rejects.ndjson"
    convert("graph", "-", "--rejects", str(kept), code=1, stdin=b'{"id": "\xff", "callType": "user_out"}\n')
    assert json.loads(kept.read_text())["reason"] == "not_json"


def test_without_rejected_rows_the_file_is_empty(tmp_path: Path) -> None:
    kept = tmp_path / "rejects.ndjson"
    kept.write_text("of an earlier run")
    convert("twilio", fixture("twilio-calls.json"), "--rejects", str(kept))
    assert kept.read_text() == ""


def test_many_rejected_rows_are_told_by_examples() -> None:
    rows = b"".join(b'{"id": "%d", "callType": "new"}\n' % number for number in range(9))
    result = convert("graph", "-", code=1, stdin=rows)
    assert "unknown_call_type: this call type is not known (line 1, 2, 3, 4, 5, …)" in result.stderr


def test_a_program_reads_the_summary_as_json() -> None:
    result = convert("graph", fixture("graph-pstn-page-1.json"), "--json")
    assert json.loads(result.stderr) == {
        "rows": 4,
        "events": {"usage.call.v1": 3, "usage.conference.v1": 1},
        "left_out": {},
        "rejected": 0,
        "rejected_at": {},
        "over_a_day_at": [],
        "vendor_charges_micros": {"USD": 236_000},
        "published": None,
    }


def test_the_time_zone_and_the_region_are_options() -> None:
    arguments = ("asterisk", fixture("asterisk-master-uniqueid.csv"), "--timezone", "Europe/Berlin", "--region", "DE")
    first = json.loads(convert(*arguments, code=1).stdout_bytes.splitlines()[0])
    assert first["data"]["answered_at"] == "2026-10-25T00:30:00Z"
    assert first["data"]["user_country"] == "DE"


def test_a_day_long_leg_is_pointed_at() -> None:
    row = json.loads(Path(fixture("graph-pstn-page-1.json")).read_bytes())["value"][0]
    row |= {"endDateTime": "2026-03-04T09:12:03.2589935Z", "duration": 172_800}
    result = convert("graph", "-", stdin=json.dumps(row).encode())
    assert "legs of more than 24 hours, worth a look: line 1" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("graph", "/nowhere.json"), "does not exist"),
        (("nortel", fixture("twilio-calls.json")), "is not one of"),
        (("asterisk", fixture("asterisk-master.csv"), "--timezone", "Mars/Phobos"), "Europe/Berlin"),
        (("asterisk", fixture("asterisk-master.csv"), "--timezone", "../etc/passwd"), "is not known here"),
        (("asterisk", fixture("asterisk-master.csv"), "--region", "XX"), "no region"),
        (("asterisk", fixture("asterisk-master.csv"), "--own", "1425"), "+1425555"),
        (("graph", fixture("twilio-calls.json"), "--rejects", "/nowhere/rejects"), "/nowhere/rejects"),
        (("graph", fixture("twilio-calls.json"), "--rejects", fixture("twilio-calls.json")), "name another one"),
    ],
)
def test_wrong_usage_is_explained(arguments: tuple[str, ...], said: str) -> None:
    assert said in convert(*arguments, code=2).stderr


def test_a_broker_out_of_reach_has_its_exit_code() -> None:
    result = convert("twilio", fixture("twilio-calls.json"), "--publish", "--brokers", "127.0.0.1:1", code=75)
    assert "credits kafka up" in result.stderr


def shown_on_a_terminal(*arguments: str) -> str:
    """Runs the command with a terminal as its standard error and a file as its output; returns what was seen."""
    seen, terminal = pty.openpty()
    command = [sys.executable, "-m", "processor.cli", "convert", *arguments, "--tenant", "contoso"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=terminal, env=environment) as running:
        os.close(terminal)
        pieces = []
        while True:
            try:
                piece = os.read(seen, 65_536)
            except OSError:  # how Linux says that nobody has the terminal open any more
                break
            if not piece:
                break
            pieces.append(piece)
    os.close(seen)
    assert running.returncode == 0
    return b"".join(pieces).decode()


def test_a_terminal_shows_how_far_it_is(tmp_path: Path) -> None:
    file = tmp_path / "calls.ndjson"
    file.write_text("".join(f'{{"sid": "CA{number}", "status": "busy"}}\n' for number in range(3500)))
    shown = shown_on_a_terminal("twilio", str(file))
    assert "3,000 rows" in shown
    assert "rows: 3,500" in shown
