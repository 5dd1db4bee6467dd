"""Over TLS with SCRAM, as in production: every program does its work, and what the security rests on is denied."""

import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import httpx

from processor.contracts import topics
from processor.contracts.rights import ROLES
from processor.embedded.broker import free_port
from tests.crash.platform import write_deck
from tests.crash.workers import wait_until
from tests.ops.denials import may_read, may_write
from tests.ops.guarded import GRANTED, Guarded


def test_only_the_worker_reads_who_called_whom_and_what_was_seen(guarded: Guarded) -> None:
    for topic in (topics.USAGE_CALL, topics.USAGE_CONFERENCE, topics.EVENT_IDS):
        assert [role for role in ROLES if may_read(guarded.conf(role), topic)] == ["worker"], topic


def test_telephony_and_payment_worker_write_what_is_theirs_and_no_account_command(guarded: Guarded) -> None:
    for role in ("telephony", "payment-worker"):
        written = {topic for topic in topics.ALL if may_write(guarded.conf(role), topic)}
        assert written == set(GRANTED[role].writes)
        assert topics.ACCOUNT_COMMANDS not in written


def kinds(entries: str) -> set[str]:
    """Returns the kinds of ledger entries, one of which is on each line."""
    return {json.loads(line)["kind"] for line in entries.splitlines()}


def test_every_program_does_its_work_over_tls_with_the_rights_of_its_role(guarded: Guarded, tmp_path: Path) -> None:
    """Worker, payment worker, console, platform simulator, and the command line of an administrator and an auditor."""

    def command(user: str, *words: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "processor.cli", *words]
        return subprocess.run(line, env=guarded.environment(user), capture_output=True, text=True, check=False)

    port = free_port()
    deck = str(write_deck(tmp_path / "deck.csv"))
    commands = {
        "worker": ["worker", "--processes", "1", "--rates", deck],
        "payment-worker": ["payment-worker", "--latency", "0.01"],
        "console": ["console", "--port", str(port)],
    }
    token = command(
        "console", "console", "token", "add", "reports", "--all-tenants", "--data-dir", str(tmp_path / "console")
    )
    with ExitStack() as running, (tmp_path / "log").open("w") as log:
        for user, words in commands.items():
            line = [sys.executable, "-m", "processor.cli", *words, "--data-dir", str(tmp_path / user)]
            process = running.enter_context(
                subprocess.Popen(line, env=guarded.environment(user), stdout=log, stderr=log)
            )
            running.callback(process.terminate)
        asked = command("console", "autopay", "tenant-00001", "--amount", "50", "--trigger", "20", "--timeout", "60")
        assert asked.returncode == 0, asked.stderr + (tmp_path / "log").read_text()[-2000:]
        sent = command("telephony", "simulate", "--tenants", "1", "--rate", "0", "--events", "50", "--rates", deck)
        assert sent.returncode == 0, sent.stderr
        wait_until(
            "the recharge and the usage are in the ledger",
            lambda: {"recharge", "charge"} <= kinds(command("console", "ledger", "tenant-00001", "--json").stdout),
            pause_s=0.5,
        )
        bearer = {"Authorization": f"Bearer {token.stdout.strip()}"}
        account = f"http://127.0.0.1:{port}/v1/accounts/tenant-00001"
        wait_until("the console has followed", lambda: httpx.get(account, headers=bearer).status_code == 200)
    audited = command("auditor", "verify")
    assert audited.returncode == 0, audited.stdout + audited.stderr
