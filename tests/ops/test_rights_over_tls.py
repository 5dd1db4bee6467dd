"""Over TLS with SCRAM, as in production: every program does its work, and what the security rests on is denied."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, Producer, TopicPartition

from processor.contracts import topics
from processor.contracts.rights import ROLES
from processor.embedded.broker import free_port
from tests.crash.platform import write_deck
from tests.crash.workers import wait_until
from tests.ops.guarded import GRANTED, Guarded

DENIED = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED)


def errors(consumer: Consumer) -> Iterator[KafkaError]:
    """Yields what a consumer is told; it is not asked for longer than a patient person would."""
    while (record := consumer.poll(20)) is not None:
        if (error := record.error()) is not None:
            yield error


def may_read(guarded: Guarded, role: str, topic: str) -> bool:
    """Reads the end of one partition as this role: its end is an answer, so is a refusal."""
    settings = {"group.id": "never-joined", "enable.partition.eof": True, "log_level": 0}
    consumer = Consumer({**guarded.conf(role), **settings})
    try:
        error = consumer.list_topics(topic, timeout=20).topics[topic].error  # who may not describe cannot read either
        if error is None:
            consumer.assign([TopicPartition(topic, 0, OFFSET_END)])
            error = next(told for told in errors(consumer) if told.code() != KafkaError.GROUP_AUTHORIZATION_FAILED)
    except KafkaException as refused:
        error = refused.args[0]
    finally:
        consumer.close()
    assert error.code() in (*DENIED, KafkaError._PARTITION_EOF), error
    return error.code() not in DENIED


def may_write(guarded: Guarded, role: str, topic: str) -> bool:
    """Writes in a transaction that is aborted, or is refused."""
    answers: list[KafkaError | None] = []
    producer = Producer({**guarded.conf(role), "log_level": 0, "message.timeout.ms": 20_000})
    producer.produce(topic, b"{}", b"tenant", 0, on_delivery=lambda error, _: answers.append(error))
    producer.flush(25)
    assert answers, "the broker did not answer"
    assert answers[0] is None or answers[0].code() in DENIED, answers[0]
    return answers[0] is None


def test_only_the_worker_reads_who_called_whom_and_what_was_seen(guarded: Guarded) -> None:
    for topic in (topics.USAGE_CALL, topics.USAGE_CONFERENCE, topics.EVENT_IDS):
        assert [role for role in ROLES if may_read(guarded, role, topic)] == ["worker"], topic


def test_telephony_and_payment_worker_write_what_is_theirs_and_no_account_command(guarded: Guarded) -> None:
    for role in ("telephony", "payment-worker"):
        written = {topic for topic in topics.ALL if may_write(guarded, role, topic)}
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
