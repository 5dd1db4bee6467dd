"""The programs that `make bench-peers` puts side by side, and how each is made ready to run.

A peer brings what the project does not need: packages from an index, a build by Maven. They go to the user's cache
directory, never into the project's own environment.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import harness
import ledgers

from processor.embedded.artifacts import cache_dir

PROGRAMS = Path(__file__).resolve().parent / "peer_programs"
CACHE = cache_dir().parent / "peer_programs"
KAFKA_STREAMS = CACHE / "kafka-streams"
OLDEST_JAVA = 17


class LeftOut(Exception):  # noqa: N818
    """This machine cannot run the peer; the text says why."""


@dataclass(frozen=True)
class Peer:
    """One program under measurement.

    `start` gets the broker's address, an empty directory and the rate deck. `most` is how many events its speed
    deserves. `group` is the consumer group whose offsets tell how far it is.
    """

    name: str
    promise: str
    group: str
    start: Callable[[str, Path, Path], harness.Program]
    version: Callable[[], str]
    most: int = 10_000_000
    make_ready: Callable[[], None] = lambda: None
    compression: str = "lz4"
    funded: bool = False
    """Whether accounts are funded and ask for recharges by commands, before usage comes."""
    changelogs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Topics, with their settings, that somebody has to create."""
    form: ledgers.Form = ledgers.PEERS


def _program(*command: str | Path) -> Callable[[str, Path, Path], harness.Program]:
    def start(brokers: str, directory: Path, rates: Path) -> harness.Program:
        environment = {"CREDITS_BROKERS": brokers, "CREDITS_DATA_DIR": str(directory), "CREDITS_RATES": str(rates)}
        return harness.Program([str(word) for word in command], environment, directory / "program.log")

    return start


def _installed(package: str) -> Callable[[], str]:
    return lambda: f"{package} {version(package)}"


def _pinned(file: Path, package: str) -> str:
    found = re.search(rf"^{package}==(\S+)", file.read_text(), re.MULTILINE)
    assert found is not None, f"{file.name} does not pin {package}"
    return f"{package} {found[1]}"


def _run(what: str, *command: str | Path) -> None:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise LeftOut(f"{what} failed: {(done.stderr or done.stdout).strip()[-500:]}")


QUIX_ENVIRONMENT, QUIX_PACKAGES = CACHE / "quix", PROGRAMS / "quix.txt"


def _install_quix() -> None:
    uv, python = Path(sys.executable).with_name("uv"), QUIX_ENVIRONMENT / "bin" / "python"
    if not python.exists():
        _run("creating its environment", uv, "venv", "--python", sys.executable, QUIX_ENVIRONMENT)
    _run("installing its packages", uv, "pip", "sync", "--compile-bytecode", "--python", python, QUIX_PACKAGES)


def _build_kafka_streams() -> None:
    if shutil.which("javac") is None or shutil.which("mvn") is None:
        raise LeftOut("it is built with a JDK and Maven (Debian: apt-get install openjdk-17-jdk-headless maven)")
    answer = subprocess.run(["javac", "-version"], capture_output=True, text=True, check=True).stdout
    if int(answer.split()[1].partition(".")[0]) < OLDEST_JAVA:
        raise LeftOut(f"Java {OLDEST_JAVA} is needed and this is {answer.strip()}")
    project = PROGRAMS / "kafka_streams" / "pom.xml"
    _run(
        "Maven's build", "mvn", "--quiet", "--batch-mode", "--file", project, f"-Dbuild.dir={KAFKA_STREAMS}", "package"
    )


def _kafka_streams_version() -> str:
    jar = next((KAFKA_STREAMS / "lib").glob("kafka-streams-*.jar"))
    java = subprocess.run(["java", "-version"], capture_output=True, text=True, check=True).stderr.split('"')[1]
    return f"{jar.stem}, Java {java}"


METER = Peer(
    name="meter",
    promise="exactly once, fenced",
    group=harness.GROUP,
    start=harness.worker,
    version=_installed("communication-credits"),
    funded=True,
    form=ledgers.METERS,
)
CONFLUENT = Peer(
    name="confluent-loop",
    promise="transactions, one process",
    group="confluent-loop",
    start=_program(sys.executable, PROGRAMS / "confluent_loop.py"),
    version=_installed("confluent-kafka"),
    changelogs={"confluent-loop-accounts": {"cleanup.policy": "compact"}, "confluent-loop-seen": {}},
)
KAFKA_STREAMS_EOS = Peer(
    name="kafka-streams",
    promise="exactly_once_v2, RocksDB",
    group="kafka-streams",
    # One core: the serial collector has no threads to spare.
    start=_program(
        "java",
        "-Xms512m",
        "-Xmx1g",
        "-XX:+UseSerialGC",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
        "-cp",
        f"{KAFKA_STREAMS}/kafka-streams-peer.jar:{KAFKA_STREAMS}/lib/*",
        "peer.Peer",
    ),
    version=_kafka_streams_version,
    make_ready=_build_kafka_streams,
)
QUIX = Peer(
    name="quix",
    promise="exactly-once, RocksDB",
    group="quix-dataframe",
    start=_program(QUIX_ENVIRONMENT / "bin" / "python", PROGRAMS / "quix_dataframe.py"),
    version=lambda: _pinned(QUIX_PACKAGES, "quixstreams"),
    most=200_000,
    make_ready=_install_quix,
)
FAUST = Peer(
    name="faust",
    promise="at least once",
    group="faust-agent",
    start=_program(sys.executable, PROGRAMS / "faust_agent.py"),
    version=_installed("faust-streaming"),
    most=200_000,  # 2.8 s pass between its commits: a short run would be measured by its last pause
    compression="none",  # its client brings no codecs of its own
    # Faust creates them as well, but may start before it sees them, and then loses events.
    changelogs={f"faust-agent-{table}-changelog": {"cleanup.policy": "compact"} for table in ("accounts", "seen")},
)
ALL = {peer.name: peer for peer in (METER, CONFLUENT, KAFKA_STREAMS_EOS, QUIX, FAUST)}
