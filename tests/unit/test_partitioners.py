"""Partitioners are told apart by where keys are; the hashes are those of the clients."""

import itertools
import random

import pytest

from processor.cli.partitioners import (
    KNOWN,
    NOT_BY_KEY,
    ONE_PARTITION,
    UNKNOWN,
    Partitioner,
    Placement,
    by_crc32,
    by_fnv1a,
    by_fnv1a_masked,
    by_murmur2,
    by_signed_murmur2,
)
from processor.stream.balance_table import partition_of

KEYS = [f"tenant-{index:04d}".encode() for index in range(50)]
HUGE = 2**31
"""With so many partitions the partition is the hash itself."""


@pytest.mark.parametrize(
    ("key", "expected"),
    [("21", -973932308), ("foobar", -790332482), ("a-little-bit-long-string", -985981536), ("abc", 479470107)],
)
def test_murmur2_is_that_of_java(key: str, expected: int) -> None:
    """The values are those of Kafka's own UtilsTest."""
    assert by_murmur2(key.encode(), HUGE) == expected & 0x7FFFFFFF
    assert by_signed_murmur2(key.encode(), HUGE) == abs(expected)


def test_the_other_hashes_have_their_published_check_values() -> None:
    assert by_crc32(b"123456789", 2**32) == 0xCBF43926
    assert by_fnv1a_masked(b"foobar", HUGE) == 0xBF9CF968 & 0x7FFFFFFF
    assert by_fnv1a(b"foobar", HUGE) == 2**32 - 0xBF9CF968


def test_the_meter_looks_for_a_tenant_where_murmur2_says() -> None:
    for key, partitions in itertools.product(KEYS, (1, 7, 8, 64)):
        assert by_murmur2(key, partitions) == partition_of(key.decode(), partitions)


def placed(partitioner: Partitioner, keys: list[bytes], partitions: int = 8) -> Placement:
    placement = Placement(partitions)
    for key in keys:
        placement.add(key, partitioner(key, partitions))
    return placement


def test_where_all_is_right_nothing_is_misplaced() -> None:
    assert placed(by_murmur2, KEYS).misplaced == 0


@pytest.mark.parametrize("partitioner", KNOWN)
@pytest.mark.parametrize("partitions", [7, 8, 64])
def test_a_known_partitioner_is_recognised(partitioner: Partitioner, partitions: int) -> None:
    placement = placed(partitioner, KEYS, partitions)
    assert placement.misplaced > 0
    assert placement.guess() == KNOWN[partitioner]


def test_too_few_keys_are_no_proof() -> None:
    wrong = [key for key in KEYS if by_crc32(key, 8) != by_murmur2(key, 8)]
    assert placed(by_crc32, wrong[:3]).guess() == UNKNOWN
    assert placed(by_crc32, wrong[:4]).guess() == KNOWN[by_crc32]


def test_what_does_not_look_at_the_key_is_recognised() -> None:
    dice = random.Random(1)
    assert placed(lambda _key, partitions: dice.randrange(partitions), KEYS * 3).guess() == NOT_BY_KEY
    assert placed(lambda _key, _partitions: 3, KEYS).guess() == ONE_PARTITION


def test_another_hash_is_called_unknown() -> None:
    assert placed(lambda key, partitions: sum(key) % partitions, KEYS).guess() == UNKNOWN
