"""The mailer example on a real broker: committed notifications only, one mail each, over restarts and repetitions."""

import signal
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from confluent_kafka import Producer

from processor.contracts.outputs import notice_record
from processor.domain.ledger import Notice
from tests.mail_server import Postbox, postbox
from tests.stream.payment_world import DEADLINE_S, until

__all__ = ["postbox"]


def notice(tenant: str) -> bytes:
    said = Notice(kind="balance.zero", tenant_id=tenant, cause="e1", balance_micros=0, currency="USD")
    return notice_record(said, datetime.now(UTC))


def say(brokers: str, tenants: list[str], *, abort: bool = False) -> None:
    producer = Producer({"bootstrap.servers": brokers, "transactional.id": str(uuid.uuid4())})
    producer.init_transactions(10)
    producer.begin_transaction()
    for tenant in tenants:
        producer.produce("notifications.v1", notice(tenant), tenant)
    producer.flush(10)
    if abort:
        producer.abort_transaction(10)
    else:
        producer.commit_transaction(10)


class Mailers:
    """Starts the mailer as a process, again and again with the same memory."""

    def __init__(self, brokers: str, postbox: Postbox, directory: Path) -> None:
        (directory / "recipients.toml").write_text('[default]\nto = ["a@example.com"]\nlanguage = "en"\n')
        self._line = [sys.executable, "-m", "examples.mailer", "--brokers", brokers, "--smtp", postbox.address]
        self._line += ["--sender", "credits@example.com", "--recipients", str(directory / "recipients.toml")]
        self._memory = directory / "mailed.sqlite"
        self._line += ["--memory", str(self._memory), "--group", f"mailer-{uuid.uuid4().hex[:8]}"]
        self._log = directory / "mailer.log"
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as output:
            self.running.append(subprocess.Popen(self._line, stdout=output, stderr=output))
        return self.running[-1]

    def log(self) -> str:
        return self._log.read_text()

    def remembered(self) -> int:
        """How many mails are noted as sent: a mailer that dies between the two sends one twice, as its page says."""
        with closing(sqlite3.connect(self._memory)) as memory:
            return int(memory.execute("SELECT count(*) FROM mailed").fetchone()[0])


@pytest.fixture
def mailers(topics: str, postbox: Postbox, tmp_path: Path) -> Iterator[Mailers]:
    started = Mailers(topics, postbox, tmp_path)
    yield started
    for process in started.running:
        process.kill()
        process.wait()


def test_committed_notifications_are_mailed_once_over_a_kill_a_restart_and_repetitions(
    topics: str, postbox: Postbox, mailers: Mailers
) -> None:
    say(topics, ["never"], abort=True)
    say(topics, ["a", "b", "a"])
    first = mailers.start()
    until(lambda: len(postbox.mails) == 2 and mailers.remembered() == 2, mailers.log)
    first.kill()
    first.wait()
    say(topics, ["b", "c"])
    second = mailers.start()
    until(lambda: len(postbox.mails) >= 3, mailers.log)
    second.send_signal(signal.SIGTERM)
    assert second.wait(DEADLINE_S) == 0, mailers.log()
    tenants = [str(mail.get_body(("plain",)).get_content()).split("Account: ")[1][0] for mail in postbox.mails]  # type: ignore[union-attr]
    assert sorted(tenants) == ["a", "b", "c"]
