"""The README's first command does what it says."""

import os
import subprocess
import sys

from processor.embedded.broker import EmbeddedBroker, free_port


def run_demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "processor.cli", "demo", *arguments]
    return subprocess.run(line, capture_output=True, text=True, timeout=170, check=False, env=os.environ)


def test_the_demo_debits_recharges_audits_itself_and_exits_0(broker: EmbeddedBroker) -> None:
    port = free_port()
    ports = ("--metrics-port", str(free_port(besides=port)), "--console-port", str(free_port(besides=port)))
    done = run_demo("--minutes", "0.25", "--port", str(port), *ports)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no drift" in done.stdout
    assert "Console: http://127.0.0.1:" in done.stdout
    requested = next(line for line in done.stdout.splitlines()[::-1] if line.startswith("recharges"))
    assert int(requested.split()[1].replace(",", "")) > 0


def test_a_taken_port_is_said_with_what_to_do(broker: EmbeddedBroker) -> None:
    done = run_demo("--minutes", "0.1", "--port", str(broker.port))
    assert done.returncode == 1
    assert f"Port {broker.port}" in done.stderr
    assert "choose another port" in done.stderr
