"""What a page shows of a file is the file that the tests run."""

import runpy
from typing import Any

from processor.cli import producer_faults
from processor.cli.producer_faults import Kind
from tests.docs.pages import DOCS, ROOT, first_cells

PRODUCERS = DOCS / "how-to" / "producers.md"


def embed() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "scripts" / "embed"))


def test_every_page_shows_its_files_as_they_are() -> None:
    assert embed()["run"](["--check"]) == 0, "run `make reference`"


def test_every_producer_is_shown_whole() -> None:
    text = PRODUCERS.read_text("utf-8")
    sources = [
        path for path in (ROOT / "examples" / "producers").rglob("*") if path.suffix in (".java", ".go", ".py", ".c")
    ]
    assert len(sources) == 5
    assert [str(path.relative_to(ROOT)) for path in sources if path.read_text("utf-8") not in text] == []


def test_a_changed_file_would_be_noticed() -> None:
    text = PRODUCERS.read_text("utf-8")
    assert embed()["embedded"](text.replace("murmur2_random", "consistent")) != text.replace(
        "murmur2_random", "consistent"
    )


def test_every_finding_of_check_producer_is_documented() -> None:
    kinds = {kind.name: kind.severity for kind in vars(producer_faults).values() if isinstance(kind, Kind)}
    assert set(first_cells(PRODUCERS, "Check a producer")) == set(kinds)
