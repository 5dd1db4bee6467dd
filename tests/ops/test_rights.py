"""On a broker that denies what nobody allows, each role can do its work, and nothing else."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from processor.contracts import topics
from processor.contracts.rights import ROLES
from processor.embedded.broker import EmbeddedBroker
from processor.stream import acls
from processor.stream import topics as stream_topics
from tests.crash.platform import PARTITIONS, write_deck
from tests.crash.workers import wait_until
from tests.ops.denials import may_read, may_write
from tests.ops.guarded import ADMIN, GRANTED, MECHANISM

MODULE = "org.apache.kafka.common.security.scram.ScramLoginModule"


def conf(user: str) -> dict[str, str]:
    """The client settings of a user, whose password is the name."""
    return {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": MECHANISM,
        "sasl.username": user,
        "sasl.password": user,
    }


def connecting(bootstrap: str, user: str) -> dict[str, str]:
    """The same with the address."""
    return {"bootstrap.servers": bootstrap, **conf(user)}


def environment(bootstrap: str, user: str) -> dict[str, str]:
    """The same for a process of ours."""
    return {
        **os.environ,
        "CREDITS_BROKERS": bootstrap,
        "CREDITS_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "CREDITS_SASL_USERNAME": user,
        "CREDITS_SASL_PASSWORD": user,
        "CREDITS_METRICS_PORT": "0",
        "CREDITS_MINIMUM_FUNDING_MICROS": "1",
    }


@pytest.fixture(scope="module")
def guarded(broker: EmbeddedBroker) -> Iterator[str]:
    """A broker with a user per role, the topics, and the rights of `credits topics acls`."""
    properties = {
        "listener.security.protocol.map": "CLIENTS:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
        "sasl.enabled.mechanisms": MECHANISM,
        "sasl.mechanism.inter.broker.protocol": MECHANISM,
        f"listener.name.clients.{MECHANISM.lower()}.sasl.jaas.config": (
            f'{MODULE} required username="{ADMIN}" password="{ADMIN}";'
        ),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "false",
        # The controller's listener, inside the broker, has no users.
        "super.users": f"User:{ADMIN};User:ANONYMOUS",
    }
    users = [f"--add-scram={MECHANISM}=[name={name},password={name}]" for name in (ADMIN, *ROLES)]
    with EmbeddedBroker(properties=properties, client=conf(ADMIN), format_arguments=users) as running:
        assert not stream_topics.apply(running.bootstrap, PARTITIONS, 1, conf(ADMIN)).problems
        for role in ROLES:
            acls.create(running.bootstrap, conf(ADMIN), acls.bindings(GRANTED[role], f"User:{role}"))
        yield running.bootstrap


@pytest.mark.parametrize("role", ROLES)
def test_a_role_reads_what_it_was_given_and_no_other_topic(guarded: str, role: str) -> None:
    assert {topic for topic in topics.ALL if may_read(connecting(guarded, role), topic)} == set(GRANTED[role].reads)


@pytest.mark.parametrize("role", [role for role in ROLES if role != "worker"])
def test_a_role_writes_what_it_was_given_and_no_other_topic(guarded: str, role: str) -> None:
    assert {topic for topic in topics.ALL if may_write(connecting(guarded, role), topic)} == set(GRANTED[role].writes)


def test_what_the_security_of_money_and_of_numbers_rests_on() -> None:
    assert [role for role in ROLES if topics.EVENT_IDS in GRANTED[role].reads] == ["worker"]
    assert [role for role in ROLES if topics.USAGE_CALL in GRANTED[role].reads] == ["worker"]
    assert [role for role in ROLES if topics.ACCOUNT_COMMANDS in GRANTED[role].writes] == ["console", "replayer"]
    deciding = ["payment-worker", "replayer", "settler"]
    assert [role for role in ROLES if topics.RECHARGE_RESULTS in GRANTED[role].writes] == deciding
    assert [role for role in ROLES if topics.RECHARGE_COMMANDS in GRANTED[role].writes] == ["worker"]


def test_worker_payment_worker_and_console_do_their_work_with_their_rights(guarded: str, tmp_path: Path) -> None:
    def command(user: str, *words: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "processor.cli", *words]
        return subprocess.run(line, env=environment(guarded, user), capture_output=True, text=True, check=False)

    deck = write_deck(tmp_path / "deck.csv")
    commands = {
        "worker": ["worker", "--processes", "1", "--rates", str(deck)],
        "payment-worker": ["payment-worker", "--latency", "0.01"],
    }
    with ExitStack() as running, (tmp_path / "log").open("w") as log:
        for user, words in commands.items():
            line = [sys.executable, "-m", "processor.cli", *words, "--data-dir", str(tmp_path / user)]
            process = running.enter_context(
                subprocess.Popen(line, env=environment(guarded, user), stdout=log, stderr=log)
            )
            running.callback(process.terminate)
        asked = command("console", "autopay", "acme", "--amount", "50", "--trigger", "20", "--timeout", "60")
        assert asked.returncode == 0, asked.stderr + (tmp_path / "log").read_text()[-2000:]
        wait_until(
            "the recharge is in the ledger",
            lambda: "recharge" in command("console", "ledger", "acme").stdout,
            pause_s=0.5,
        )
    settled = command("settler", "settle", "acme", "acme:1", "--status", "succeeded")
    assert "acme:1 is succeeded already" in settled.stderr
    audited = command("auditor", "verify")
    assert audited.returncode == 0, audited.stdout + audited.stderr
