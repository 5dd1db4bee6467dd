"""The page of the HTTP API says what the console's own description says."""

import ast
import subprocess
import sys
from pathlib import Path

from processor.console import problems
from processor.console.authorization import VENDOR_CODES
from processor.console.problems import CODES
from processor.domain.errors import REASONS
from tests.docs.pages import first_cells

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference" / "http-api.md"


def test_every_code_of_a_problem_is_on_the_page() -> None:
    made = called("ProblemError", "_problem") | {"bad_request", "method_not_allowed"}  # those by Starlette's own status
    assert first_cells(PAGE, "Problems") == list(CODES)
    assert set(CODES) == made


def test_every_reason_that_only_authorize_has_is_documented() -> None:
    page = PAGE.with_name("reasons.md")
    assert set(first_cells(page, "Before a call")) == called("_refused") - set(REASONS)
    assert all(f"`{reason}` {code}" in page.read_text() for reason, code in VENDOR_CODES.items())


def called(*names: str) -> set[str]:
    """Returns the codes in the console's modules: texts without a space that these are called with."""
    modules = [ast.parse(path.read_text()) for path in Path(problems.__file__).parent.glob("*.py")]
    calls = [node for module in modules for node in ast.walk(module) if isinstance(node, ast.Call)]
    arguments = [each for call in calls if getattr(call.func, "id", "") in names for each in call.args]
    return {str(each.value) for each in arguments if isinstance(each, ast.Constant) and " " not in str(each.value)}


def test_the_page_is_generated_from_the_present_api() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "openapi"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"run `make reference`: {done.stderr}"
