"""Every example of the producer kit feeds a real worker through a real broker, as its page says: each record is in the
partition where its tenant is at home, has no fault for `credits check-producer`, and is charged once, even when it is
sent twice."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from confluent_kafka import Message

from processor.cli import main
from processor.cli.partitioners import KNOWN
from processor.cli.reading import read_committed
from processor.contracts import topics as names
from processor.contracts.inputs import decode
from processor.embedded import artifacts
from processor.stream.balance_table import partition_of
from tests.conftest import PARTITIONS
from tests.crash.platform import RATES, write_deck
from tests.crash.proof import documents
from tests.crash.workers import WorkerProcess, lag, wait_until

KIT = Path(__file__).resolve().parents[2] / "examples" / "producers"
TENANTS = ["contoso", "東京", "zürich-überlingen"]
"""Their partitions tell every partitioner from the meter's, and bytes from characters."""
RUN_S = 120

Command = list[str]


def needs(program: str, remedy: str) -> str:
    """Finds a program of a toolchain, or skips the test with what to install."""
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed: {remedy}")
    return found


def build(*command: str, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=RUN_S, check=False)
    assert done.returncode == 0, done.stderr


def java(directory: Path) -> Command:
    compiler = needs("javac", "a JDK of 17 or newer (Debian: apt-get install openjdk-17-jdk-headless)")
    jars = artifacts.jars()
    source = KIT / "java" / "UsageProducer.java"
    stated = [word.rpartition(":") for word in source.read_text().replace(",", " ").split() if word.count(":") == 2]
    versions = {f"{coordinate.rpartition(':')[2]}-{version.rstrip('.')}.jar" for coordinate, _, version in stated}
    assert len(versions) == 2
    assert versions <= {jar.name for jar in jars}
    libraries = ":".join(map(str, jars))
    build(compiler, "-cp", libraries, "-d", str(directory), str(source), cwd=directory)
    return ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{libraries}:{directory}", "UsageProducer"]


def go(directory: Path) -> Command:
    program = directory / "usage-producer"
    build(needs("go", "Go 1.26 or newer"), "build", "-mod=readonly", "-o", str(program), ".", cwd=KIT / "go")
    return [str(program)]


def python_kafka(_directory: Path) -> Command:
    return [sys.executable, str(KIT / "python-kafka" / "usage_producer.py")]


def python_confluent(_directory: Path) -> Command:
    return [sys.executable, str(KIT / "python-confluent" / "usage_producer.py")]


def librdkafka_c(directory: Path) -> Command:
    packages = "Debian: apt-get install gcc libc6-dev librdkafka-dev libjansson-dev"
    compiler = needs("cc", packages)
    if not Path("/usr/include/librdkafka/rdkafka.h").exists() or not Path("/usr/include/jansson.h").exists():
        pytest.skip(f"librdkafka or jansson is not installed: {packages}")
    program = directory / "usage_producer"
    source = KIT / "librdkafka-c" / "usage_producer.c"
    warnings = ["-Wall", "-Wextra", "-Werror"]
    build(compiler, *warnings, str(source), "-o", str(program), "-lrdkafka", "-ljansson", cwd=directory)
    return [str(program)]


EXAMPLES: dict[str, Callable[[Path], Command]] = {
    "java": java,
    "go": go,
    "python-kafka": python_kafka,
    "python-confluent": python_confluent,
    "librdkafka-c": librdkafka_c,
}


def test_every_example_is_run() -> None:
    assert {path.name for path in KIT.iterdir() if path.is_dir()} == set(EXAMPLES)


def test_the_tenants_of_these_tests_tell_every_known_partitioner_from_the_meters() -> None:
    home = [partition_of(tenant, PARTITIONS) for tenant in TENANTS]
    for wrong in KNOWN:
        assert [wrong(tenant.encode(), PARTITIONS) for tenant in TENANTS] != home


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_an_example_sends_is_at_home_and_charged_once(name: str, topics: str, tmp_path: Path) -> None:
    command = EXAMPLES[name](tmp_path)
    for tenant in TENANTS:
        emit(command, topics, tenant)
    judged = CliRunner().invoke(main, ["check-producer", names.USAGE_CALL, "--brokers", topics, "--json"])
    assert json.loads(judged.stdout)["findings"] == []
    emit(command, topics, TENANTS[0])

    sent = list(read_committed({"bootstrap.servers": topics}, names.USAGE_CALL))
    assert sorted(map(tenant_of, sent)) == sorted([*TENANTS, TENANTS[0]])
    for record in sent:
        assert record.key() == tenant_of(record).encode()
        assert record.partition() == partition_of(tenant_of(record), PARTITIONS)
        assert record.headers() == [("content-type", b"application/cloudevents+json")]

    worker = WorkerProcess(topics, tmp_path / "worker", write_deck(tmp_path / "deck.csv")).start()
    wait_until("all input is committed", lambda: lag(topics) == 0)
    assert worker.terminate() == 0, worker.log()

    entries = [document["data"] for document in documents(topics, names.LEDGER)]
    charges = sorted((entry["tenant_id"], entry["kind"], entry["amount_micros"]) for entry in entries)
    assert charges == sorted((tenant, "charge", -4 * RATES["44"]) for tenant in TENANTS)  # 219 s are 4 minutes
    for nothing in (names.DEAD_LETTERS, names.USAGE_REROUTED):
        assert list(documents(topics, nothing)) == []


def emit(command: Command, brokers: str, tenant: str) -> None:
    """Runs an example for the one call that each tenant has."""
    arguments = [*command, brokers, tenant, f"c-{TENANTS.index(tenant)}"]
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=RUN_S, check=False)
    assert done.returncode == 0, done.stderr


def tenant_of(record: Message) -> str:
    """Decodes a record as the worker does."""
    return decode(names.USAGE_CALL, record.value(), record.headers()).data.tenant_id
