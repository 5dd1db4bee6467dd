"""`credits pull graph` before it has pulled anything: settings, checkpoint, windows."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from processor.adapters import Rejected
from processor.cli import checkpoint, main
from processor.cli.checkpoint import Pulled
from processor.cli.common import CommandFailed
from processor.cli.graph_puller import windows
from processor.cli.rejects import NewRejects

APPLICATION = {"CREDITS_GRAPH_TENANT_ID": "directory", "CREDITS_GRAPH_CLIENT_ID": "application"}
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def pull(directory: Path, *arguments: str, code: int, **env: str) -> Result:
    options = ["--tenant", "contoso", "--checkpoint", str(directory / "checkpoint.json"), *arguments]
    result = CliRunner().invoke(main, ["pull", "graph", *options, "--brokers", "127.0.0.1:1"], env=env)
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def secret(tmp_path: Path) -> str:
    file = tmp_path / "secret"
    file.write_text("s3cret\n")
    return str(file)


def test_settings_that_are_missing_are_named(tmp_path: Path) -> None:
    said = pull(tmp_path, code=2).stderr
    for name in ("CREDITS_GRAPH_TENANT_ID", "CREDITS_GRAPH_CLIENT_ID", "CREDITS_GRAPH_CLIENT_SECRET_FILE"):
        assert name in said


def test_a_secret_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    result = pull(tmp_path, code=2, **APPLICATION, CREDITS_GRAPH_CLIENT_SECRET_FILE=str(tmp_path / "nothing"))
    assert "cannot be read" in result.stderr


def test_an_address_in_the_clear_is_refused(tmp_path: Path, secret: str) -> None:
    result = pull(
        tmp_path,
        code=2,
        **APPLICATION,
        CREDITS_GRAPH_CLIENT_SECRET_FILE=secret,
        CREDITS_GRAPH_URL="http://graph.example/v1.0",
    )
    assert "not https" in result.stderr
    assert "s3cret" not in result.output


def test_a_broker_out_of_reach_has_its_exit_code(tmp_path: Path, secret: str) -> None:
    pull(tmp_path, code=75, **APPLICATION, CREDITS_GRAPH_CLIENT_SECRET_FILE=secret)


def test_a_span_is_cut_into_windows_that_share_their_edges() -> None:
    found = list(windows(NOON, NOON + timedelta(days=2, hours=1)))
    assert [begin for begin, _ in found] == [NOON, NOON + timedelta(days=1), NOON + timedelta(days=2)]
    assert [end for _, end in found] == [*(begin for begin, _ in found[1:]), NOON + timedelta(days=2, hours=1)]
    assert list(windows(NOON, NOON)) == []


# The checkpoint


def test_without_a_checkpoint_nothing_was_pulled(tmp_path: Path) -> None:
    assert checkpoint.load(tmp_path / "none.json", "contoso") == Pulled(tenant_id="contoso")


def test_what_was_noted_is_read_again(tmp_path: Path) -> None:
    path, pulled = tmp_path / "checkpoint.json", Pulled(tenant_id="contoso", until={"pstn": NOON})
    checkpoint.save(path, pulled)
    assert checkpoint.load(path, "contoso") == pulled


def test_a_death_while_it_is_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, old = tmp_path / "checkpoint.json", Pulled(tenant_id="contoso", until={"pstn": NOON})
    checkpoint.save(path, old)

    def dies(_file: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", dies)
        with pytest.raises(KeyboardInterrupt):
            checkpoint.save(path, Pulled(tenant_id="contoso", until={"pstn": NOON + timedelta(days=1)}))
    assert checkpoint.load(path, "contoso") == old


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"tenant_id": "contoso", "other": 1}', b"\xff"])
def test_a_file_of_something_else_is_refused_with_a_remedy(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "checkpoint.json"
    path.write_bytes(content)
    with pytest.raises(CommandFailed, match="--since"):
        checkpoint.load(path, "contoso")


def test_the_checkpoint_of_another_tenant_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.json"
    path.write_bytes(msgspec.json.encode(Pulled(tenant_id="fabrikam")))
    with pytest.raises(CommandFailed, match="belongs to tenant fabrikam"):
        checkpoint.load(path, "contoso")


def test_a_checkpoint_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="cannot be written"):
        checkpoint.save(tmp_path / "nowhere" / "checkpoint.json", Pulled(tenant_id="contoso"))


# Rejected rows


def test_a_row_that_every_round_rejects_is_kept_once_also_after_a_new_start(tmp_path: Path) -> None:
    path = tmp_path / "rejects.ndjson"
    bad, changed = (Rejected(1, "unknown_call_type", "what", row) for row in ('{"id": "1"}', '{"id": "1", "x": 1}'))
    for _start in range(2):
        with path.open("a+") as file:
            kept = NewRejects(file)
            for _round in range(2):
                kept.keep(bad)
                kept.keep(changed)
    assert [json.loads(line)["row"] for line in path.read_text().splitlines()] == [bad.row, changed.row]


def test_half_a_line_does_not_swallow_the_next_rejected_row(tmp_path: Path) -> None:
    path = tmp_path / "rejects.ndjson"
    path.write_text('{"line": 1, "rea')
    with path.open("a+") as file:
        NewRejects(file).keep(Rejected(2, "unknown_call_type", "what", "row"))
    assert json.loads(path.read_text().splitlines()[1])["row"] == "row"
