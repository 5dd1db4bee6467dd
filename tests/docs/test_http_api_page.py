"""The page of the HTTP API says what the console's own description says."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_generated_from_the_present_api() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "openapi"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"run `make reference`: {done.stderr}"
