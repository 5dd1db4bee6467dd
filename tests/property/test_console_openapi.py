"""Requests of every shape that the API's own description allows, or just not, are answered as it says.

Schemathesis makes the requests from the description, with a fixed seed, and holds every answer against it.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from processor.console.access import Role
from tests.unit.builders import TENANT, autopay, call, funded
from tests.unit.console_world import Console

EXAMPLES = 8
"""Random requests per operation, after those that cover the description systematically."""
CONFIG = """
[[operations]]
include-tag = "commands"
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", 401, 403, 404, 409, 422]  # a key that was used for another change, a time beyond reason
[operations.checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 413, 415, 422]  # a thousand licences may be too much for one body
"""
AT_MOST_S = 280


@pytest.mark.parametrize(
    ("role", "tenant"), [(Role.VIEWER, None), (Role.BILLING_ADMIN, TENANT), (Role.OPERATOR, TENANT)]
)
def test_every_answer_is_as_described(tmp_path: Path, role: Role, tenant: str | None) -> None:
    """A viewer asks about any tenant at all, the others about one that has an account."""
    console = Console(tmp_path)
    console.world.tell(funded(50), autopay(), call(60))
    token = console.client(role).headers["authorization"]
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG + (f'[parameters]\n"path.tenant" = {json.dumps(tenant)}\n' if tenant else ""))
    with console.serving():
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "--no-color"]
        command += ["run", f"{console.address}/v1/openapi.json", "--header", f"Authorization: {token}"]
        command += ["--seed", "1", "--max-examples", str(EXAMPLES)]
        command += ["--generation-deterministic", "--phases", "examples,coverage,fuzzing"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=AT_MOST_S, check=False)
    report = "\n".join(line[:300] for line in (done.stdout + done.stderr).splitlines())
    assert done.returncode == 0, report
