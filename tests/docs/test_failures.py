"""The failure table names tests that exist, and causes and exit codes as the code has them."""

import ast
import re

from processor.stream.faults import CAUSES, of
from tests.docs.pages import DOCS, ROOT

PAGE = DOCS / "explanation" / "failures.md"
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def rows(heading: str) -> list[list[str]]:
    """Returns the cells of the tables between a heading and the next one of its kind."""
    section = re.split(r"\n## ", PAGE.read_text().split(f"\n## {heading}\n", 1)[1], maxsplit=1)[0]
    lines = [line for line in section.splitlines() if line.startswith("| ") and not line.startswith("| ---")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_cause_is_explained_with_its_exit_code() -> None:
    told = {
        cells[0].strip("`"): cells[1] for cells in rows("How a worker says why it ended") if cells[0].startswith("`")
    }
    assert told == {cause: str(of(cause).exit_code) for cause in CAUSES}


def test_every_failure_names_a_test_that_exists() -> None:
    failures = [cells for cells in rows("Every failure") if cells[0] != "failure"]
    assert len(failures) > 10
    for cells in failures:
        named = TEST.search(cells[-1])
        assert named, cells[0]
        path, function = named.groups()
        functions = [
            node.name for node in ast.parse((ROOT / path).read_text()).body if isinstance(node, ast.FunctionDef)
        ]
        assert function in functions, f"{path} has no {function}"


def test_every_fault_that_is_tested_is_told() -> None:
    tested = {
        (f"tests/crash/{module.name}", node.name)
        for module in (ROOT / "tests" / "crash").glob("test_*_faults.py")
        for node in ast.parse(module.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }
    told = TEST.findall(PAGE.read_text())
    assert len(tested) > 10
    assert tested == {(file, function) for file, function in told if file.endswith("_faults.py")}
