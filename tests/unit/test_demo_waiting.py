"""`credits demo` says what it waits for, and whoever waited in vain is told what the part has said last."""

from pathlib import Path
from threading import Event

import pytest

from processor.cli import demo
from processor.cli.common import CommandFailed


def waiting(directory: Path) -> demo._Demo:
    return demo._Demo("127.0.0.1:9", directory, 9464, Event())


def test_somebody_who_waits_is_told_for_what_and_how_long_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "WORD_S", 0.0)
    said: list[str] = []
    waiting(tmp_path)._until("the worker has its partitions", "worker", lambda: len(said) == 2, said.append)
    assert said[0] == "Waiting until the worker has its partitions: 0 s of at most 180; is the machine busy?"


def test_somebody_who_waited_in_vain_is_told_what_was_said_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "PATIENCE_S", 0.0)
    (tmp_path / "worker.log").write_text("1\n2\n3\n4\n5\n6\n")
    with pytest.raises(CommandFailed) as caught:
        waiting(tmp_path)._until("the worker has its partitions", "worker", lambda: False)
    assert caught.value.message == "not within 0 s: the worker has its partitions\n  2\n  3\n  4\n  5\n  6"
