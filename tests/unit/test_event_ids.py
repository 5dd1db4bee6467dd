"""The de-duplication index finds what it was given, whole, and nothing else."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.stream import id_runs
from processor.stream.event_ids import EventIds, pack, unpack
from processor.stream.id_runs import FILTERED_FROM, IdRun, RunDamagedError, merge_runs, write_run

WORDS = st.one_of(st.sampled_from([0, 1, 2**63 - 1, 2**63, 2**64 - 1]), st.integers(0, 2**64 - 1))
IDENTITIES = st.builds(lambda high, low: high.to_bytes(8, "little") + low.to_bytes(8, "little"), WORDS, WORDS)
"""Many share their first 8 bytes, which hashes hardly ever do."""


def index(directory: Path, runs: Iterable[IdRun]) -> EventIds:
    event_ids = EventIds()
    event_ids.install(tuple(runs), b"")
    return event_ids


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@given(
    held=st.lists(st.sets(IDENTITIES, min_size=1, max_size=60), min_size=1, max_size=4),
    others=st.lists(IDENTITIES, max_size=3 * FILTERED_FROM),
)
def test_runs_hold_exactly_what_was_written_however_they_are_merged(
    directory: Path, held: list[set[bytes]], others: list[bytes]
) -> None:
    runs = [write_run(directory, f"{number}", b"".join(one), number) for number, one in enumerate(held)]
    everything = set().union(*held)
    asked = [*others, *everything]
    for event_ids in (index(directory, runs), index(directory, [merge_runs(directory, "merged", runs)])):
        assert event_ids.sealed(asked) == everything
        assert event_ids.sealed(others) == everything.intersection(others)
        for identity in asked[:5]:
            assert event_ids.sealed([identity]) == everything.intersection([identity])


def test_a_merge_of_more_than_one_slice_keeps_the_order(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(id_runs, "SLICE", 100)
    identities = [hashed(number) for number in range(5_000)]
    runs = [write_run(directory, f"part-{at}", b"".join(identities[at::7]), at) for at in range(7)]
    merged = merge_runs(directory, "whole", runs)
    assert len(merged) == 5_000
    assert (merged.highs[:-1] <= merged.highs[1:]).all()
    assert index(directory, [merged]).sealed(identities) == set(identities)
    assert index(directory, [merged]).sealed([hashed(-number) for number in range(1, 5_000)]) == set()


def test_a_record_without_an_identity_may_stand_among_those_that_are_looked_up(directory: Path) -> None:
    run = write_run(directory, "some", hashed(1) + hashed(2), 0)
    assert index(directory, [run]).sealed([b"", hashed(2), b"", hashed(3)]) == {hashed(2)}


def test_sealed_identities_leave_the_set_and_the_others_stay(directory: Path) -> None:
    event_ids = EventIds()
    event_ids.fresh.update(hashed(number) for number in range(10))
    packed = b"".join(hashed(number) for number in range(6))
    event_ids.install((write_run(directory, "six", packed, 0),), packed)
    assert event_ids.fresh == {hashed(number) for number in range(6, 10)}
    assert event_ids.sealed([hashed(number) for number in range(10)]) == set(unpack(packed))
    assert len(event_ids) == 10


def test_a_run_with_a_flipped_bit_or_of_another_size_is_refused(directory: Path) -> None:
    run = write_run(directory, "good", b"".join(hashed(number) for number in range(100)), 0)
    content = bytearray(run.path.read_bytes())
    content[777] ^= 2
    for broken in (bytes(content), bytes(content[:-16])):
        (directory / "bad").write_bytes(broken)
        with pytest.raises(RunDamagedError):
            IdRun(directory, id_runs.RunInfo("bad", 100, 0, run.info.checksum))


def test_identities_are_packed_into_records_below_the_size_limit() -> None:
    identities = [hashed(number) for number in range(120_000)]
    records = list(pack(identities))
    assert max(map(len, records)) <= 800_000
    assert [identity for record in records for identity in unpack(record)] == identities


def hashed(number: int) -> bytes:
    from xxhash import xxh3_128_digest

    return xxh3_128_digest(number.to_bytes(8, "little", signed=True))
