"""How Kafka clients place keys, to tell from the records of a topic which partitioner their producer uses."""

import zlib
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from kafka.partitioner.default import murmur2

Partitioner = Callable[[bytes, int], int]
"""Key and number of partitions to the partition."""

CERTAIN: Final = 0.001
"""A guess is named when chance alone would fit as well in fewer than one of a thousand topics."""

_POSITIVE: Final = 0x7FFFFFFF


def by_murmur2(key: bytes, partitions: int) -> int:
    """The meter's: default of Java, kafka-python, franz-go, kafkajs 2."""
    return int(murmur2(key) & _POSITIVE) % partitions


def by_crc32(key: bytes, partitions: int) -> int:
    """librdkafka's `consistent_random`, its default, and `consistent`."""
    return zlib.crc32(key) % partitions


def by_fnv1a(key: bytes, partitions: int) -> int:
    """Sarama's and segmentio's hash partitioner, librdkafka's `fnv1a`: the distance of the signed hash from zero."""
    return abs(_signed(_fnv1a(key))) % partitions


def by_fnv1a_masked(key: bytes, partitions: int) -> int:
    """Sarama's reference hash partitioner: the hash without its sign bit."""
    return (_fnv1a(key) & _POSITIVE) % partitions


def by_signed_murmur2(key: bytes, partitions: int) -> int:
    """murmur2 made positive by `abs`: a common slip when murmur2 is written by hand."""
    return abs(_signed(int(murmur2(key)) & 0xFFFFFFFF)) % partitions


def _fnv1a(key: bytes) -> int:
    value = 0x811C9DC5
    for byte in key:
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value


def _signed(value: int) -> int:
    return value - (1 << 32) if value > _POSITIVE else value


@dataclass(frozen=True, slots=True)
class Guess:
    """What a producer seems to do with keys, and the setting that mends it."""

    name: str
    remedy: str


_LIBRDKAFKA: Final = "set partitioner=murmur2_random (librdkafka: confluent-kafka, node-rdkafka, rust-rdkafka)"
_GO: Final = "use a murmur2 partitioner: franz-go has it by default; segmentio: kafka.Murmur2Balancer"

KNOWN: Final[dict[Partitioner, Guess]] = {
    by_crc32: Guess("CRC32, the default of librdkafka (consistent_random)", _LIBRDKAFKA),
    by_fnv1a: Guess("FNV-1a, the hash partitioner of Sarama and segmentio", f"{_GO}; librdkafka: {_LIBRDKAFKA}"),
    by_fnv1a_masked: Guess("FNV-1a, Sarama's reference hash partitioner", _GO),
    by_signed_murmur2: Guess(
        "murmur2 with a signed hash", "take the hash without its sign bit: (hash & 0x7fffffff) % partitions"
    ),
}

ONE_PARTITION: Final = Guess(
    "none: every record is sent to the same partition", "name no partition when sending: the client finds it by the key"
)
NOT_BY_KEY: Final = Guess(
    "none that looks at the key: round robin, sticky or random",
    f"switch to the client's default partitioner (Java: remove partitioner.class), or {_LIBRDKAFKA}",
)
UNKNOWN: Final = Guess(
    "unknown", f"Java and kafka-python: remove the setting of a partitioner; {_LIBRDKAFKA}; or {_GO}"
)


@dataclass(slots=True)
class Placement:
    """Gathers where the records of a topic are, and tells who put them there. Memory grows with the distinct keys."""

    partitions: int
    placed: Counter[int] = field(default_factory=Counter)
    """Records with a key, by partition."""
    misplaced: int = 0
    _where: defaultdict[bytes, set[int]] = field(default_factory=lambda: defaultdict(set))

    def add(self, key: bytes, partition: int) -> bool:
        """Takes note of a record; returns whether it is where the meter expects its key."""
        right = by_murmur2(key, self.partitions) == partition
        self.placed[partition] += 1
        self.misplaced += not right
        self._where[key].add(partition)
        return right

    def guess(self) -> Guess:
        """Judges by the keys that have records in wrong partitions, so that a right producer beside a wrong one does
        not blur the picture."""
        if len(self.placed) == 1 and len(self._where) > 1:
            return ONE_PARTITION
        strayed = {key: found - {by_murmur2(key, self.partitions)} for key, found in self._where.items()}
        wrong = {key: found for key, found in strayed.items() if found}
        if self.partitions ** -len(wrong) < CERTAIN:
            for partitioner, guess in KNOWN.items():
                if all(found == {partitioner(key, self.partitions)} for key, found in wrong.items()):
                    return guess
        return NOT_BY_KEY if any(len(found) > 1 for found in wrong.values()) else UNKNOWN
