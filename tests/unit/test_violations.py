"""A violation of the books is told by the process after the one that ended over it."""

from pathlib import Path

from processor.observability.violations import Violations


def test_the_next_process_of_a_data_directory_knows_how_often_the_books_did_not_agree(tmp_path: Path) -> None:
    path = tmp_path / "violations"
    first = Violations(path)
    assert first.count == 0
    first.add()
    first.add()
    assert Violations(path).count == 2
