"""The account commands against a real broker and a real worker: each waits for what was committed and prints it."""

import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Producer

from processor.cli import main, storing
from processor.cli.reading import Tail, partitions_of, read_committed
from processor.contracts import topics as names
from processor.contracts.inputs import decode
from processor.contracts.outputs import decode_notification, decode_request
from tests.stream.payment_world import until

# What kafka-python does while it is imported.
pytestmark = pytest.mark.filterwarnings("ignore:.* is deprecated. Use files:DeprecationWarning")

STOP_S = 30.0


class Commands:
    """Runs `credits` in this process against the test's broker."""

    def __init__(self, brokers: str) -> None:
        self.conf: dict[str, Any] = {"bootstrap.servers": brokers, "log_level": 0}
        self._brokers = brokers

    def __call__(self, *arguments: str, code: int = 0) -> Result:
        result = CliRunner().invoke(main, arguments, env={"CREDITS_BROKERS": self._brokers})
        assert result.exit_code == code, result.output
        return result

    def json(self, *arguments: str) -> dict[str, object]:
        return json.loads(self(*arguments, "--json").stdout)  # type: ignore[no-any-return]


@pytest.fixture
def run(topics: str) -> Commands:
    return Commands(topics)


@pytest.fixture
def worker(topics: str, tmp_path: Path) -> Iterator[None]:
    with working(topics, tmp_path):
        yield


@pytest.fixture
def impatient_worker(topics: str, tmp_path: Path) -> Iterator[None]:
    """Expects the result of a payment within a second."""
    with working(topics, tmp_path, CREDITS_RECHARGE_DEADLINE_S="1"):
        yield


@contextmanager
def working(topics: str, tmp_path: Path, **environment: str) -> Iterator[None]:
    command = [sys.executable, "-m", "processor.cli", "worker", "--processes", "1", "--brokers", topics]
    command += ["--data-dir", str(tmp_path / "worker"), "--metrics-port", "0"]
    with (tmp_path / "worker.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **environment})
    try:
        yield
    finally:
        process.terminate()
        process.wait(STOP_S)


@pytest.mark.usefixtures("worker")
def test_an_account_from_its_first_payment_to_auto_pay(run: Commands) -> None:
    assert "t1: 50.00 USD added, the balance is 50.00 USD (ledger entry t1:1)" in run("fund", "t1", "50.00").output
    entry = run.json("fund", "t1", "50.25", "--reference", "invoice-1")
    assert (entry["amount_micros"], entry["balance_micros"], entry["kind"]) == (50_250_000, 100_250_000, "fund")

    set_to = run.json("autopay", "t1", "--amount", "60", "--trigger", "20", "--max-per-day", "3")
    assert (set_to["payment_amount_micros"], set_to["trigger_micros"], set_to["enabled"]) == (
        60_000_000,
        20_000_000,
        True,
    )
    off = run.json("autopay", "t1", "--off")
    assert (off["payment_amount_micros"], off["max_per_day"], off["enabled"]) == (60_000_000, 3, False)

    shown = run("balance", "t1").output
    assert "100.25 USD" in shown
    assert "auto-pay is off" in shown
    account = run.json("balance", "t1")
    assert (account["balance_micros"], account["revision"]) == (100_250_000, 2)
    entries = [json.loads(line) for line in run("ledger", "t1", "--json").output.splitlines()]
    assert [each["entry_id"] for each in entries] == ["t1:1", "t1:2"]
    assert "1 of 2 entries of t1" in run("ledger", "t1", "--last", "1").output


@pytest.mark.usefixtures("worker")
def test_auto_pay_below_the_trigger_asks_for_a_payment_at_once(run: Commands) -> None:
    run("autopay", "t1", "--amount", "50", "--trigger", "0", "--payment-method", "card-7")
    requests = [decode_request(record.value()).data for record in read_committed(run.conf, names.RECHARGE_COMMANDS)]
    assert [(each.recharge_id, each.amount_micros, each.payment_method_ref) for each in requests] == [
        ("t1:1", 50_000_000, "card-7")
    ]
    assert "50.00 USD requested" in run("balance", "t1").output


@pytest.mark.usefixtures("worker")
def test_a_refused_command_ends_with_1_and_the_reason_in_words(run: Commands) -> None:
    result = run("fund", "t1", "49.99", code=1)
    assert "refused: the payment is below the smallest one" in result.output
    run("fund", "t1", "50")
    result = run("fund", "t1", "50", "--currency", "EUR", code=1)
    assert "refused: the account is kept in another currency" in result.output
    result = run("autopay", "t1", "--amount", "1", "--trigger", "0", code=1)
    assert "refused: the payment is below" in result.output


def test_without_a_worker_the_command_is_stored_and_the_person_is_told(run: Commands) -> None:
    result = run("fund", "t1", "50", "--timeout", "0.5", code=1)
    assert "no answer within 0.5 s: is a worker running? `credits worker`" in result.output
    [record] = read_committed(run.conf, names.ACCOUNT_COMMANDS)
    command = decode(names.ACCOUNT_COMMANDS, record.value(), record.headers())
    assert f"the command {command.id} is stored" in result.output
    assert record.key() == b"t1"


@pytest.mark.usefixtures("worker")
def test_a_command_that_may_have_been_stored_is_repeated_under_its_id_and_applied_once(
    run: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as impatient:
        impatient.setattr(storing, "FLUSH_S", 0.001)
        said = run("fund", "t1", "50", code=1).output
    assert "Look with `credits ledger t1` before you repeat it" in said
    [command_id] = re.findall(r"may have been stored as (cmd-\S+), or not", said)
    entry = run.json("fund", "t1", "50", "--id", command_id)
    assert (entry["entry_id"], entry["event_id"], entry["balance_micros"]) == ("t1:1", command_id, 50_000_000)
    again = run("fund", "t1", "50", "--id", command_id)
    assert "applied before: nothing was changed now" in again.stderr
    assert "t1: 50.00 USD added, the balance is 50.00 USD (ledger entry t1:1)" in again.stdout
    assert "used before, for 50.00 USD" in run("fund", "t1", "60", "--id", command_id, code=1).output
    for change in (
        ("adjust", "t1", "5", "--reason", "goodwill"),
        ("autopay", "t1", "--amount", "50", "--trigger", "20"),
        ("licences", "t1", "MCOPSTN1:DE:25", "--from", "2026-01-01"),
        ("reset", "t1"),
    ):
        assert run(*change, "--id", f"mine-{change[0]}").stdout == run(*change, "--id", f"mine-{change[0]}").stdout
    refused = run("fund", "t1", "1", "--id", "mine", code=1).output
    assert run("fund", "t1", "1", "--id", "mine", code=1).output == refused
    assert run.json("balance", "t1")["balance_micros"] == 55_000_000


@pytest.mark.usefixtures("worker")
def test_a_person_settles_a_payment_as_the_payment_worker_would_and_only_the_one_in_flight(run: Commands) -> None:
    def settle(recharge_id: str, *options: str, code: int = 0) -> str:
        return run("settle", "t1", recharge_id, *options, "--operator", "alice", code=code).output

    assert "there is no account t1" in settle("t1:1", "--status", "failed", code=1)
    run("autopay", "t1", "--amount", "50", "--trigger", "0")
    assert "its deadline has not passed" in settle("t1:1", "--status", "succeeded", code=1)
    assert "t1:2 is not in flight, t1:1 is" in settle("t1:2", "--status", "succeeded", "--force", code=1)
    assert "t1: t1:1 is settled as succeeded, the balance is 50.00 USD; auto-pay is ready" in settle(
        "t1:1", "--status", "succeeded", "--reference", "pi_1", "--force"
    )
    assert "t1:1 is succeeded already" in settle("t1:1", "--status", "failed", "--force", code=1)
    assert "t1:2 is not in flight, none is" in settle("t1:2", "--status", "failed", "--force", code=1)
    [entry] = [json.loads(line) for line in run("ledger", "t1", "--json").output.splitlines()]
    assert (entry["kind"], entry["amount_micros"], entry["event_id"], entry["event_source"]) == (
        "recharge",
        50_000_000,
        "t1:1#decided",
        "/payment-worker/operator/alice",
    )
    assert "no drift" in run("verify").output


@pytest.mark.usefixtures("impatient_worker")
def test_a_payment_that_has_become_unknown_is_settled_without_force(run: Commands) -> None:
    run("autopay", "t1", "--amount", "50", "--trigger", "0")
    until(lambda: run.json("balance", "t1")["recharge"]["attempt"] > 1, lambda: run("balance", "t1").output)  # type: ignore[index]
    state = run.json("settle", "t1", "t1:1", "--status", "declined")
    assert (state["in_flight"], state["failures"]) == (None, 1)
    assert state["decided"] == [{"recharge_id": "t1:1", "status": "declined"}]
    [failed] = [
        notice
        for record in read_committed(run.conf, names.NOTIFICATIONS)
        if (notice := decode_notification(record.value() or b"").data).kind == "recharge.failed"
    ]
    assert (failed.recharge_id, failed.reason) == ("t1:1", "settled_by_hand")


def test_an_unknown_tenant_is_told_in_one_sentence(run: Commands) -> None:
    for arguments in (("balance", "nobody"), ("ledger", "nobody")):
        assert "there is no account nobody" in run(*arguments, code=1).output
    assert "was never set" in run("autopay", "nobody", "--off", code=1).output


def test_the_simulator_reports_exactly_what_the_topics_hold(run: Commands) -> None:
    command = [sys.executable, "-m", "processor.cli", "simulate", "--brokers", run.conf["bootstrap.servers"], "--json"]
    command += ["--tenants", "20", "--rate", "0", "--events", "3000", "--duplicates", "0.1", "--open"]
    summary = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    ids: Counter[tuple[str, str]] = Counter()
    for topic in (names.USAGE_CALL, names.USAGE_CONFERENCE):
        for record in read_committed(run.conf, topic):
            message = decode(topic, record.value(), record.headers())
            assert record.key() == message.data.tenant_id.encode()
            ids[message.source, message.id] += 1
    assert (summary["unique"], summary["failed"]) == (len(ids), 0)
    assert summary["duplicates"] == ids.total() - len(ids) > 0
    assert sum(1 for _ in read_committed(run.conf, names.ACCOUNT_COMMANDS)) == 60


def test_a_committed_reader_skips_what_was_aborted_and_waits_for_what_is_open(topics: str) -> None:
    conf = {"bootstrap.servers": topics, "log_level": 0}
    producer = Producer({**conf, "transactional.id": "writer"})
    producer.init_transactions(10)

    def write(*values: str) -> None:
        producer.begin_transaction()
        for value in values:
            producer.produce(names.LEDGER, value, "t", partition=3)
        producer.flush(10)

    write("a", "b")
    producer.commit_transaction(10)
    write("aborted")
    producer.abort_transaction(10)
    write("c")
    with Tail(conf, [(names.LEDGER, 3)]) as tail:
        records = read_committed(conf, names.LEDGER)
        assert [next(records).value(), next(records).value()] == [b"a", b"b"]
        producer.commit_transaction(10)
        assert [record.value() for record in records] == [b"c"]
        write("d")
        producer.commit_transaction(10)
        assert next(tail.messages(10)).value() == b"d"
    assert not list(read_committed(conf, names.LEDGER, [2]))
    assert partitions_of(conf, names.LEDGER) == 8


def test_a_committed_reader_ends_behind_an_aborted_transaction(topics: str) -> None:
    conf = {"bootstrap.servers": topics, "log_level": 0}
    producer = Producer({**conf, "transactional.id": "writer"})
    producer.init_transactions(10)
    producer.begin_transaction()
    producer.produce(names.LEDGER, "aborted", "t")
    producer.flush(10)
    producer.abort_transaction(10)
    started = time.monotonic()
    assert not list(read_committed(conf, names.LEDGER))
    assert time.monotonic() - started < 10


@pytest.mark.usefixtures("worker")
def test_an_operator_adjusts_a_balance_and_resets_auto_pay(run: Commands) -> None:
    assert "refused: nothing was ever funded, set or used" in run("adjust", "t1", "5", "--reason", "r", code=1).output
    assert "refused: nothing was ever funded, set or used" in run("reset", "t1", code=1).output
    run("fund", "t1", "50")
    assert "t1: 12.50 USD added, the balance is 62.50 USD" in run("adjust", "t1", "12.50", "--reason", "outage").output
    entry = run.json("adjust", "t1", "-70.00", "--reason", "booked twice", "--operator", "alice")
    assert (entry["kind"], entry["amount_micros"], entry["balance_micros"], entry["flags"]) == (
        "adjustment",
        -70_000_000,
        -7_500_000,
        ["overdrawn"],
    )
    run("autopay", "t1", "--amount", "50", "--trigger", "0")
    assert "t1: auto-pay is 50.00 USD requested" in run("reset", "t1").output
    assert run.json("reset", "t1")["in_flight"] == "t1:1"
    assert "no drift" in run("verify").output
