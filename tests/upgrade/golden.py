"""The state that a release has left, kept as files: what was in its topics, its checkpoints, and what that is worth."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
from confluent_kafka import Producer

from processor.contracts import topics
from processor.stream.checkpoint import CHANGELOGS
from processor.stream.frames import Stamp
from tests.crash.platform import Expected

STATE = Path(__file__).resolve().parents[1] / "fixtures" / "state"
KEPT = (*CHANGELOGS, topics.LEDGER, topics.RECHARGE_COMMANDS, topics.RECHARGE_RESULTS, topics.NOTIFICATIONS)
"""What later releases read again: the changelogs, the ledger behind corrections, and what the books are proven from."""


class Kept(msgspec.Struct, frozen=True):
    """One record of a topic; `text` is its value where that is JSON, else `packed` holds it in base 64."""

    partition: int
    key: str | None
    text: str | None = None
    packed: bytes | None = None

    @property
    def value(self) -> bytes:
        """The value as it was in the topic."""
        return self.text.encode() if self.text is not None else self.packed or b""


class Worth(msgspec.Struct):
    """What the platform that made the state knows of it: events with their tenant and cost, payments, pool minutes."""

    usage: dict[str, tuple[str, int]]
    funded: dict[str, int]
    balances: dict[str, int]
    pool_minutes: dict[str, int]
    """By tenant and user, with a blank between."""
    stamps: dict[str, list[Stamp]]
    """Of the checkpoints, by partition."""


@dataclass(frozen=True)
class Golden:
    """The files of one release."""

    directory: Path

    @property
    def worth(self) -> Worth:
        """What the state is worth."""
        return msgspec.json.decode((self.directory / "expected.json").read_bytes(), type=Worth)

    @property
    def expected(self) -> Expected:
        """What the books must say, for the crash tests' proof."""
        return Expected(dict(self.worth.usage), Counter(self.worth.funded))

    def records(self, topic: str) -> list[Kept]:
        """Returns a topic's records, in their order within each partition."""
        lines = (self.directory / f"{topic}.ndjson").read_bytes().splitlines()
        return [msgspec.json.decode(line, type=Kept) for line in lines]

    def checkpoints(self) -> Iterator[tuple[int, Path]]:
        """Yields the partitions that have a checkpoint, with its directory."""
        for directory in sorted((self.directory / "checkpoint").iterdir()):
            yield int(directory.name), directory

    def produce(self, bootstrap: str) -> None:
        """Puts everything where it was."""
        producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
        for topic in KEPT:
            for record in self.records(topic):
                producer.produce(topic, record.value, record.key, record.partition)
        assert producer.flush(30) == 0


def released() -> list[Golden]:
    """The releases whose state is kept, oldest first."""
    found = [path for path in STATE.iterdir() if path.is_dir()]
    return [Golden(path) for path in sorted(found, key=lambda path: [int(part) for part in path.name.split(".")])]


def write(directory: Path, topic: str, records: list[Kept]) -> None:
    """Writes the file of one topic."""
    lines = [json.dumps(msgspec.to_builtins(record)) for record in records]
    (directory / f"{topic}.ndjson").write_text("".join(f"{line}\n" for line in lines))
