"""Vendor records into the usage topics of a real broker: converted files and pulled logs, each event in its place."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from confluent_kafka import KafkaError, Message
from kafka.partitioner import murmur2

from processor.adapters import source_of
from processor.cli import main
from processor.cli.common import BrokerUnreachable, CommandFailed
from processor.cli.publishing import Publisher
from processor.cli.reading import read_committed
from processor.contracts import inputs
from processor.contracts import topics as names
from tests.conftest import PARTITIONS
from tests.graph_stub import SECRET, Answer, GraphStub, running
from tests.unit.vendor_rows import FIXTURES

# What kafka-python does while it is imported.
pytestmark = pytest.mark.filterwarnings("ignore:.* is deprecated. Use files:DeprecationWarning")

TENANT = "contoso"


def published(brokers: str, topic: str) -> list[Message]:
    return list(read_committed({"bootstrap.servers": brokers, "log_level": 0}, topic))


def ids(messages: list[Message]) -> list[str]:
    found = []
    for message in messages:
        event = inputs.decode(message.topic(), message.value(), message.headers)
        assert event.source == source_of("graph", TENANT)
        found.append(event.id)
    return sorted(found)


@pytest.fixture
def day() -> str:
    """Two days ago: recent, and over."""
    return f"{datetime.now(UTC) - timedelta(days=2):%Y-%m-%d}"


@pytest.fixture
def stub(day: str) -> Iterator[GraphStub]:
    def rows(name: str) -> list[dict[str, Any]]:
        text = (FIXTURES / name).read_text().replace("2026-03-02", day)
        return json.loads(text)["value"]  # type: ignore[no-any-return]

    with running(GraphStub()) as served:
        served.rows["getPstnCalls"] = rows("graph-pstn-page-1.json") + rows("graph-pstn-page-2.json")
        served.rows["getDirectRoutingCalls"] = rows("graph-direct-routing.json")
        yield served


@pytest.fixture(autouse=True)
def _handlers_restored() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def run(*arguments: str, env: dict[str, str] | None = None, code: int = 0) -> Result:
    result = CliRunner().invoke(main, arguments, env=env)
    assert result.exit_code == code, result.output
    return result


def pull(stub: GraphStub, brokers: str, files: Path, *arguments: str, code: int = 0) -> Result:
    (files / "secret").write_text(SECRET + "\n")
    env = {**stub.settings, "CREDITS_GRAPH_CLIENT_SECRET_FILE": str(files / "secret"), "CREDITS_BROKERS": brokers}
    options = ("--tenant", TENANT, "--checkpoint", str(files / "checkpoint.json"), *arguments)
    return run("pull", "graph", *options, env=env, code=code)


def noted(files: Path) -> dict[str, Any]:
    return json.loads((files / "checkpoint.json").read_bytes())  # type: ignore[no-any-return]


def test_a_converted_file_lies_where_javas_partitioner_puts_its_tenant(topics: str) -> None:
    file = str(FIXTURES / "graph-pstn-page-1.json")
    result = run("convert", "graph", file, "--tenant", TENANT, "--publish", "--json", "--brokers", topics)
    assert result.stdout == ""
    assert json.loads(result.stderr)["published"] == 4
    calls, conferences = published(topics, names.USAGE_CALL), published(topics, names.USAGE_CONFERENCE)
    assert (len(calls), len(conferences)) == (3, 1)
    home = (murmur2(TENANT.encode()) & 0x7FFFFFFF) % PARTITIONS
    for message in calls + conferences:
        assert (message.key(), message.partition()) == (TENANT.encode(), home)
        inputs.decode(message.topic(), message.value(), message.headers)


@pytest.mark.parametrize(
    ("code", "fault"),
    [(KafkaError._MSG_TIMED_OUT, BrokerUnreachable), (KafkaError.TOPIC_AUTHORIZATION_FAILED, CommandFailed)],
)
def test_an_event_that_was_not_delivered_is_never_passed_over(topics: str, code: int, fault: type[Exception]) -> None:
    publisher = Publisher({"bootstrap.servers": topics, "log_level": 0}, TENANT)
    publisher._sender._delivered(KafkaError(code), None)  # type: ignore[arg-type] # as librdkafka reports it
    with pytest.raises(fault):
        publisher.flush()
    assert publisher.acknowledged == 0


def test_a_pull_publishes_every_page_and_goes_on_where_it_ended(
    topics: str, stub: GraphStub, day: str, tmp_path: Path
) -> None:
    rejects = tmp_path / "rejects.ndjson"
    stub.answers.append(Answer(429, {"Retry-After": "0"}))
    logs = ("--log", "pstn", "--log", "direct-routing")
    first = pull(stub, topics, tmp_path, "--since", day, *logs, "--rejects", str(rejects), code=1)
    assert "unknown_call_type" in first.stderr
    assert [name[-3:] for name in ids(published(topics, names.USAGE_CALL))] == [
        "a01",
        "a02",
        "a01",
        "a02",
        "a03",
        "a05",
    ]
    # The pages overlap: the repetition has the same id, by which the worker drops it.
    assert [name[-3:] for name in ids(published(topics, names.USAGE_CONFERENCE))] == ["a04", "a04"]
    assert json.loads(rejects.read_text())["reason"] == "unknown_call_type"
    assert (noted(tmp_path)["tenant_id"], set(noted(tmp_path)["until"])) == (TENANT, {"pstn", "direct-routing"})

    ended = datetime.fromisoformat(noted(tmp_path)["until"]["pstn"])
    stub.asked.clear()
    pull(stub, topics, tmp_path, "--overlap-hours", "1")
    (asked,) = stub.asked
    assert f"fromDateTime={ended - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}" in asked
    assert len(published(topics, names.USAGE_CALL)) == 6

    kept = rejects.read_text()
    pull(stub, topics, tmp_path, "--overlap-hours", "800", "--rejects", str(rejects), code=1)
    assert rejects.read_text() == kept


def test_after_a_failure_only_what_was_not_noted_is_pulled_again(
    topics: str, stub: GraphStub, day: str, tmp_path: Path
) -> None:
    answer, midnight = stub.page, f"{date.fromisoformat(day) + timedelta(days=1)}T00:00:00Z"

    def second_day_refused(target: str, authorization: str | None) -> Answer:
        refusal = Answer(403, body=b'{"error": {"code": "Forbidden"}}')
        return refusal if f"fromDateTime={midnight}" in target else answer(target, authorization)

    stub.page = second_day_refused  # type: ignore[method-assign]
    failed = pull(stub, topics, tmp_path, "--since", day, code=1)
    assert "CallRecord-PstnCalls.Read.All" in failed.stderr
    assert noted(tmp_path)["until"] == {"pstn": midnight}

    stub.page = answer  # type: ignore[method-assign]
    stub.asked.clear()
    pull(stub, topics, tmp_path, "--overlap-hours", "0")
    assert f"fromDateTime={midnight}" in stub.asked[0]


def test_a_repeated_pull_ends_when_it_is_told_to(topics: str, stub: GraphStub, tmp_path: Path) -> None:
    answer = stub.page

    def told_to_end_in_the_second_round(target: str, authorization: str | None) -> Answer:
        if len(stub.asked) == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return answer(target, authorization)

    stub.page = told_to_end_in_the_second_round  # type: ignore[method-assign]
    pull(stub, topics, tmp_path, "--every", "1", "--overlap-hours", "1")
    assert len(stub.asked) == 2


@pytest.fixture
def worker(topics: str, tmp_path: Path) -> Iterator[None]:
    command = [sys.executable, "-m", "processor.cli", "worker", "--processes", "1", "--brokers", topics]
    command += ["--data-dir", str(tmp_path / "worker"), "--metrics-port", "0"]
    with (tmp_path / "worker.log").open("w") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, "CREDITS_UNRATEABLE": "free"}
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.usefixtures("worker")
def test_what_is_pulled_twice_is_charged_once(topics: str, stub: GraphStub, day: str, tmp_path: Path) -> None:
    for _ in range(2):
        pull(stub, topics, tmp_path, "--since", day, "--overlap-hours", "72", code=1)
    # Whatever a partition holds before its last record has been applied when that is in the ledger.
    last = {
        name: stub.rows["getPstnCalls"][row] | {"id": name} for name, row in {"last call": 0, "last leg": 3}.items()
    }
    file = tmp_path / "last.ndjson"
    file.write_text("".join(json.dumps(row) + "\n" for row in last.values()))
    run("convert", "graph", str(file), "--tenant", TENANT, "--publish", "--brokers", topics)
    deadline = time.monotonic() + 60
    while not set(last) <= set(charged := charges(topics)):
        assert time.monotonic() < deadline, charged
        time.sleep(0.1)
    assert sorted(name[-3:] for name in charged if name not in last) == ["a01", "a02", "a03", "a04", "a05"]


def charges(brokers: str) -> list[str]:
    """Returns the events that the ledger has a charge for, one by one."""
    entries = [json.loads(message.value())["data"] for message in published(brokers, names.LEDGER)]
    return [entry["event_id"] for entry in entries if entry["kind"] == "charge"]
