"""`credits check-producer` against producers that do it right and wrong, on a real broker."""

import itertools
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from confluent_kafka import OFFSET_END, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from processor.cli import main
from processor.cli.producer_faults import Examination
from processor.cli.reading import read_committed
from processor.domain.policy import Policy
from processor.embedded.broker import EmbeddedBroker
from processor.stream import topics as stream_topics
from tests.conftest import PARTITIONS, delete_topics
from tests.crash.platform import Platform, write_deck
from tests.crash.workers import WorkerProcess, lag, wait_until
from tests.stream.test_bad_input import BROKEN, MISSING, call, days_ago, encoded

CALLS = "usage.call.v1"
GOOD_HEADERS = {"content-type": "application/cloudevents+json"}


@pytest.fixture(scope="module")
def applied(broker: EmbeddedBroker) -> str:
    """The broker's address, with every topic there."""
    delete_topics(broker.bootstrap)
    assert not stream_topics.apply(broker.bootstrap, PARTITIONS, 1).problems
    return broker.bootstrap


@pytest.fixture
def calls(applied: str) -> str:
    """The broker's address, with no record in the topic of calls."""
    ends = [TopicPartition(CALLS, number, OFFSET_END) for number in range(PARTITIONS)]
    client = AdminClient({"bootstrap.servers": applied})  # must outlive its futures
    for future in client.delete_records(ends).values():
        future.result()
    return applied


class Judged:
    """What the command said about a topic."""

    def __init__(self, result: Result) -> None:
        self.exit_code = result.exit_code
        self.report: dict[str, Any] = json.loads(result.stdout)
        self.findings = {finding["fault"]: finding for finding in self.report["findings"]}


def judge(brokers: str, *options: str) -> Judged:
    return Judged(CliRunner().invoke(main, ["check-producer", CALLS, "--brokers", brokers, "--json", *options]))


def producer(brokers: str, **settings: Any) -> Producer:
    return Producer({"bootstrap.servers": brokers, "partitioner": "murmur2_random", **settings})


def numbered(index: int, **changes: Any) -> tuple[str, bytes]:
    """The call of one of fifty tenants, with an id of its own."""
    tenant = f"tenant-{index % 50:04d}"
    event = call(tenant_id=tenant, _subject=tenant, _id=f"e-{index}", **changes)
    return tenant, json.dumps(event).encode()


def send(to: Producer, count: int = 200, **options: Any) -> None:
    for index in range(count):
        tenant, value = numbered(index)
        to.produce(CALLS, value, tenant, headers=GOOD_HEADERS, **options)
    assert to.flush(20) == 0


def test_a_producer_that_does_it_right_is_ready(calls: str) -> None:
    send(producer(calls))
    judged = judge(calls)
    assert judged.exit_code == 0
    assert judged.report == {"topic": CALLS, "partitions": 8, "records": 200, "ready": True, "findings": []}


@pytest.mark.parametrize(
    ("partitioner", "named", "remedy"),
    [
        ("consistent_random", "CRC32, the default of librdkafka", "partitioner=murmur2_random"),
        ("fnv1a_random", "FNV-1a, the hash partitioner of Sarama", "Murmur2Balancer"),
        ("random", "round robin, sticky or random", "default partitioner"),
    ],
)
def test_a_wrong_partitioner_is_found_and_named_with_the_setting_that_mends_it(
    calls: str, partitioner: str, named: str, remedy: str
) -> None:
    send(producer(calls, partitioner=partitioner))
    judged = judge(calls)
    assert judged.exit_code == 1
    assert set(judged.findings) == {"partition"}
    assert named in judged.findings["partition"]["detail"]
    assert remedy in judged.findings["partition"]["remedy"]
    assert 100 < judged.findings["partition"]["records"] < 200


def test_round_robin_is_told_from_a_hash(calls: str) -> None:
    turns = itertools.cycle(range(PARTITIONS))
    to = producer(calls)
    for index in range(200):
        tenant, value = numbered(index)
        to.produce(CALLS, value, tenant, partition=next(turns), headers=GOOD_HEADERS)
    to.flush(20)
    assert "round robin" in judge(calls).findings["partition"]["detail"]


def test_a_wrong_producer_beside_a_right_one_is_still_named(calls: str) -> None:
    send(producer(calls))
    wrong = producer(calls, partitioner="consistent_random")
    for index in range(200, 400):
        tenant, value = numbered(index)
        wrong.produce(CALLS, value, tenant, headers=GOOD_HEADERS)
    wrong.flush(20)
    assert "CRC32" in judge(calls).findings["partition"]["detail"]


def test_a_fixed_partition_is_told_from_a_hash(calls: str) -> None:
    send(producer(calls), partition=5)
    assert "the same partition" in judge(calls).findings["partition"]["detail"]


def one(brokers: str, value: bytes | None, key: str | bytes | None = "tenant-0001", **options: Any) -> Judged:
    to = producer(brokers)
    to.produce(CALLS, value, key, **{"headers": GOOD_HEADERS, **options})
    assert to.flush(20) == 0
    return judge(brokers)


FAULTY: list[tuple[str, Callable[[], bytes | None], dict[str, Any], dict[str, str]]] = [
    ("no key", encoded, {"key": None}, {"key_missing": "no key"}),
    ("a quoted key", encoded, {"key": '"tenant-0001"'}, {"key_mismatch": "in quotes"}),
    ("a framed key", encoded, {"key": b"\0\0\0\0\1tenant-0001"}, {"key_mismatch": "schema registry"}),
    ("a key in capitals", encoded, {"key": "TENANT-0001"}, {"key_mismatch": "case or spaces"}),
    ("another key", encoded, {"key": "leg-7"}, {"key_mismatch": "not data.tenant_id"}),
    ("another subject", lambda: encoded(_subject="x"), {}, {"subject_mismatch": "another tenant"}),
    ("no content type", encoded, {"headers": {}}, {"content_type": "not set"}),
    ("another content type", encoded, {"headers": {"content-type": "text/plain"}}, {"content_type": "is not app"}),
    ("a field missing", lambda: encoded(callee=MISSING), {}, {"schema": "`callee` - at `$.data`"}),
    ("a string for a number", lambda: encoded(connected_ms="1"), {}, {"schema": "at `$.data.connected_ms`"}),
    ("encoded twice", lambda: json.dumps(encoded().decode()).encode(), {}, {"schema": "encoded twice"}),
    ("framed", lambda: b"\0\0\0\0\1" + encoded(), {}, {"not_json": "schema registry"}),
    ("no JSON", lambda: b"hello", {}, {"not_json": "not JSON"}),
    ("a tombstone", lambda: None, {}, {"not_json": "no value"}),
    ("an unknown type", lambda: encoded(_type="telephony.fax.v1"), {}, {"unknown_type": "no message of this type"}),
    ("too large", lambda: encoded(end_reason="x" * 70_000), {}, {"too_large": "65536"}),
    ("times swapped", lambda: swapped(), {}, {"ended_before_start": "before it began"}),
    ("ring time counted", lambda: encoded(connected_ms=75_000), {}, {"duration": "longer than"}),
    ("a clock far ahead", lambda: encoded(**days_ago(-1)), {}, {"in_future": "900 s after it arrived"}),
    ("a clock a little ahead", lambda: encoded(**days_ago(-0.005)), {}, {"clock_ahead": "after it arrived"}),
    ("too old", lambda: encoded(**days_ago(36)), {}, {"too_old": "35 days"}),
    ("a national number", lambda: encoded(callee="0207 946 0018"), {}, {"number": "not E.164"}),
]


def swapped() -> bytes:
    times = call()["data"]
    return encoded(answered_at=times["ended_at"], ended_at=times["answered_at"])


@pytest.mark.parametrize(("_what", "value", "options", "expected"), FAULTY, ids=[case[0] for case in FAULTY])
def test_each_fault_has_its_name_place_and_remedy(
    calls: str, _what: str, value: Callable[[], bytes | None], options: dict[str, Any], expected: dict[str, str]
) -> None:
    judged = one(calls, value(), **options)
    assert set(judged.findings) == set(expected)
    for fault, said in expected.items():
        finding = judged.findings[fault]
        assert said in finding["detail"]
        assert finding["remedy"]
        assert finding["records"] == 1
        assert judged.exit_code == (1 if finding["severity"] == "fault" else 0)


def test_a_retry_is_a_warning_and_an_id_under_other_data_a_fault(calls: str) -> None:
    to = producer(calls)
    first, other = encoded(_id="e", call_id="c-1"), encoded(_id="e", call_id="c-2")
    for value in (first, first, other):
        to.produce(CALLS, value, "tenant-0001", headers=GOOD_HEADERS)
    to.flush(20)
    judged = judge(calls)
    assert {name: (found["severity"], found["records"]) for name, found in judged.findings.items()} == {
        "repeated": ("warning", 1),
        "id_reused": ("fault", 1),
    }


def test_binary_mode_is_taken_with_its_own_content_type(calls: str) -> None:
    event = call()
    headers = {f"ce_{name}": event[name] for name in ("specversion", "id", "source", "type")}
    judged = one(calls, json.dumps(event["data"]).encode(), headers={**headers, "content-type": "application/json"})
    assert (judged.exit_code, judged.findings) == (0, {})


def test_the_report_for_people_names_fault_place_remedy_and_verdict_but_no_phone_number(calls: str) -> None:
    one(calls, encoded(connected_ms=75_000, callee="0207 946 0018"))
    result = CliRunner().invoke(main, ["check-producer", CALLS, "--brokers", calls])
    assert result.exit_code == 1
    assert "fault duration: connected_ms is longer than end minus start\n  1 record, the first in" in result.stdout
    assert "  → write numbers in E.164" in result.stdout
    assert "usage.call.v1: not ready: 1 fault, 1 warning in 1 record\n" in result.stdout
    assert "7946" not in result.stdout.replace(" ", "")


def test_the_limit_takes_the_newest_of_each_partition(calls: str) -> None:
    to = producer(calls)
    for value in (b"old and broken", encoded(_id="new")):
        to.produce(CALLS, value, "tenant-0001", headers=GOOD_HEADERS)
    to.flush(20)
    judged = judge(calls, "--limit", "1")
    assert (judged.report["records"], judged.report["ready"]) == (1, True)


def test_following_judges_what_arrives_from_now_on_until_the_limit(calls: str) -> None:
    one(calls, b"old and broken")
    stop = threading.Event()

    def keep_sending() -> None:
        to = producer(calls)
        for index in itertools.takewhile(lambda _: not stop.is_set(), itertools.count()):
            tenant, value = numbered(index)
            to.produce(CALLS, value, tenant, headers=GOOD_HEADERS)
            to.flush(1)

    sender = threading.Thread(target=keep_sending)
    sender.start()
    try:
        judged = judge(calls, "--follow", "60", "--limit", "20")
    finally:
        stop.set()
        sender.join()
    assert (judged.report["records"], judged.report["ready"]) == (20, True)


def test_an_empty_topic_is_no_success(calls: str) -> None:
    result = CliRunner().invoke(main, ["check-producer", CALLS, "--brokers", calls])
    assert result.exit_code == 1
    assert "held no record to judge" in result.output


def test_a_fault_is_what_the_worker_parks(topics: str, tmp_path: Path) -> None:
    """Record by record, but for what needs the rates or the account, which no producer can know."""
    platform = Platform(topics, seed=7, tenants=10, duplicates=0)
    platform.emit(50)
    platform.producer.flush()
    to = producer(topics, **{"message.max.bytes": 64_000_000})
    later = {"no_rate", "number_invalid", "unknown_original"}
    cases = [case for case in BROKEN if case[1] == CALLS and case[4] not in later]
    for _, topic, key, value, _ in cases:
        to.produce(topic, value(), key)
    to.flush(20)

    worker = WorkerProcess(topics, tmp_path / "a", write_deck(tmp_path / "deck.csv")).start()
    wait_until("all input is committed", lambda: lag(topics) == 0)
    assert worker.terminate() == 0, worker.log()

    conf = {"bootstrap.servers": topics}
    faulty = set()
    for record in read_committed(conf, CALLS):
        examination = Examination(CALLS, PARTITIONS, Policy())
        examination.add(record)
        if any(found.severity == "fault" for found in examination.findings()):
            faulty.add((record.partition(), record.offset()))
    parked = set()
    for letter in read_committed(conf, "dead.letters.v1"):
        noted = dict(letter.headers())
        parked.add((int(noted["credits.error.partition"]), int(noted["credits.error.offset"])))
    assert faulty == parked
    assert len(parked) == len(cases)
