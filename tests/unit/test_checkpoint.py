"""The local checkpoint: whatever happened to its files, recovery ends with exactly what the changelogs say."""

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from rocksdict import Cache

from processor.contracts import topics
from processor.stream import frames, sealed_ids, stored_table
from processor.stream.checkpoint import CHANGELOGS, TABLES, Changes, PartitionCheckpoint
from processor.stream.event_ids import EventIds, unpack
from processor.stream.frames import Stamp
from processor.stream.table_store import TableDamagedError, TableStore
from tests.docs.pages import ROOT

DAY_MS = 86_400_000
WINDOW_MS = 36 * DAY_MS
STAMPS = {
    topic: Stamp(cluster_id="cluster", app_id="app", topic=topic, topic_id=f"id of {topic}", partitions=8, partition=3)
    for topic in CHANGELOGS
}
CACHE = Cache(1 << 20)


class Changelogs:
    """The changelogs of a partition as a broker keeps them, and the cycles that were committed to them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.tables: dict[str, list[tuple[bytes, bytes] | None]] = {topic: [] for topic in TABLES}
        self.event_ids: list[bytes | None] = []
        self.at_ms = 40 * DAY_MS
        self.applied: list[bytes] = []

    def cycle(self) -> Changes:
        """Commits a cycle; every transaction ends with a marker that takes an offset and is read by nobody."""
        self.at_ms += 60_000
        changes = {}
        for topic, changelog in self.tables.items():
            keys = [b"key-%d" % self.random.randrange(200) for _ in range(self.random.randrange(1, 12))]
            changed = {key: self.random.randbytes(self.random.randrange(1, 400)) for key in keys}
            changelog += changed.items()
            changes[topic] = changed, len(changelog)
            changelog.append(None)
        packed = b"".join(identity(len(self.applied) + number) for number in range(self.random.randrange(1, 60)))
        self.applied += unpack(packed)
        self.event_ids += [packed, None]
        return Changes(changes, [packed], len(self.event_ids) - 1, self.at_ms)

    def newest(self, topic: str, start: int = 0) -> dict[bytes, bytes]:
        return dict(record for record in self.tables[topic][start:] if record is not None)

    @property
    def kept(self) -> dict[str, tuple[int, int]]:
        ends = {topic: len(changelog) for topic, changelog in self.tables.items()}
        return {topic: (0, end) for topic, end in (ends | {topics.EVENT_IDS: len(self.event_ids)}).items()}


def identity(number: int) -> bytes:
    return blake2b(number.to_bytes(8, "little"), digest_size=16).digest()


def opened(directory: Path, stamps: dict[str, Stamp] = STAMPS) -> PartitionCheckpoint:
    return PartitionCheckpoint(directory, stamps, WINDOW_MS, CACHE)


def prove(directory: Path, changelogs: Changelogs) -> dict[str, str]:
    """Recovers as `recovery.recover` does, the checkpoint and then the rest of the changelogs; returns what was told.

    A worker that finds a damage when it reads ends; the next one recovers.
    """
    try:
        return recover(directory, changelogs)
    except TableDamagedError as damage:
        problems = recover(directory, changelogs)
        assert "damaged" in " ".join(problems.values()), problems
        return problems | {"read": str(damage)}


def recover(directory: Path, changelogs: Changelogs) -> dict[str, str]:
    checkpoint = opened(directory)
    try:
        return recovered(checkpoint, changelogs)
    finally:
        killed(checkpoint)


def recovered(checkpoint: PartitionCheckpoint, changelogs: Changelogs) -> dict[str, str]:
    offsets, problems = checkpoint.load(changelogs.kept)
    for topic, changelog in changelogs.tables.items():
        if tail := changelogs.newest(topic, offsets[topic]):
            checkpoint.add(Changes({topic: (tail, len(changelog))}, [], None, changelogs.at_ms))
    packed = [record for record in changelogs.event_ids[offsets[topics.EVENT_IDS] :] if record is not None]
    if packed:
        checkpoint.add(Changes({}, packed, len(changelogs.event_ids), changelogs.at_ms))
    runs, rest = checkpoint.recovered()
    for topic, table in checkpoint.tables.items():
        newest = changelogs.newest(topic)
        assert dict(table.after(b"", 1000)) == newest
        assert {key: table.get(key) for key in newest} == newest
        assert table.get(b"nobody's") is None
    event_ids = EventIds()
    event_ids.install(runs, b"")
    event_ids.fresh.update(unpack(rest))
    assert len(event_ids) == len(changelogs.applied)
    assert event_ids.fresh | event_ids.sealed(changelogs.applied) == set(changelogs.applied)
    assert not event_ids.sealed([identity(-number % 2**64) for number in range(1, 500)])
    checkpoint.flush()
    return problems


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A directory in memory where there is such a file system: hundreds of databases are opened and closed here."""
    memory = Path("/dev/shm")  # noqa: S108 - the directory in it is of this test alone
    with TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a power cut leaves behind is made by hand here."""
    monkeypatch.setattr("os.fsync", lambda _: None)


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes RocksDB and the runs have several files in a small test, and changes be written in pieces."""
    monkeypatch.setattr(stored_table, "CHANGES_AT_ONCE", 5)
    monkeypatch.setattr(stored_table, "BACKLOG", 5)
    monkeypatch.setattr("processor.stream.table_store.WRITE_BUFFER_BYTES", 1 << 14)


def lived(directory: Path, changelogs: Changelogs, cycles: int = 60) -> None:
    """Leaves the checkpoint of some cycles; what the last ones changed is not in it."""
    checkpoint = opened(directory)
    checkpoint.load(changelogs.kept)
    checkpoint.recovered()
    for number in range(cycles):
        checkpoint.add(changelogs.cycle())
        if checkpoint.backlog:
            checkpoint.write_some()
        if number % 4 == 0:
            checkpoint.flush()
    killed(checkpoint)


def killed(checkpoint: PartitionCheckpoint) -> None:
    """Lets go of the files as they are, as the end of a process does."""
    for table in checkpoint.tables.values():
        with suppress(TableDamagedError):  # it was not even asked for
            table.store.close()


def work_on(checkpoint: PartitionCheckpoint, changelogs: Changelogs) -> None:
    while True:
        checkpoint.add(changelogs.cycle())
        checkpoint.flush()


def files(directory: Path) -> Iterator[Path]:
    return (
        path for path in sorted(directory.rglob("*")) if path.is_file() and not path.name.startswith(("LOG", "LOCK"))
    )


def test_a_checkpoint_and_the_rest_of_the_changelogs_are_everything_committed(
    tmp_path: Path, small_files: None
) -> None:
    changelogs = Changelogs(1)
    lived(tmp_path, changelogs)
    assert prove(tmp_path, changelogs) == {}
    assert prove(tmp_path, changelogs) == {}


def test_200_cuts_and_flipped_bits_at_random_places_never_change_what_is_recovered(
    tmp_path: Path, small_files: None
) -> None:
    chance = random.Random(7)
    changelogs = Changelogs(2)
    lived(tmp_path / "lived", changelogs)
    pristine = tmp_path / "pristine"
    (tmp_path / "lived").rename(pristine)
    noticed = 0
    for number in range(200):
        directory = tmp_path / str(number)
        shutil.copytree(pristine, directory)
        victim = chance.choice([path for path in files(directory) if path.stat().st_size])
        content = bytearray(victim.read_bytes())
        at = chance.randrange(len(content))
        if chance.random() < 0.5:
            del content[at:]
        else:
            content[at] ^= 1 << chance.randrange(8)
        victim.write_bytes(content)
        noticed += bool(prove(directory, changelogs))
        changelogs.cycle()  # life goes on behind the damage
        shutil.rmtree(directory)
    # The end of a log that is cut leaves an older checkpoint, which is a good one; some files nobody needs.
    assert noticed > 100


def test_after_a_damage_the_checkpoint_goes_on_from_what_was_whole(tmp_path: Path, small_files: None) -> None:
    chance = random.Random(3)
    changelogs = Changelogs(3)
    for _ in range(30):
        with suppress(TableDamagedError):
            lived(tmp_path, changelogs, cycles=7)
        victim = chance.choice([path for path in files(tmp_path) if path.stat().st_size])
        content = bytearray(victim.read_bytes())
        content[chance.randrange(len(content))] ^= 16
        victim.write_bytes(content)
        prove(tmp_path, changelogs)


@pytest.mark.parametrize("survivors", range(1, 12))
def test_a_crash_between_any_two_writes_leaves_a_checkpoint_to_go_on_from(
    tmp_path: Path, small_files: None, monkeypatch: pytest.MonkeyPatch, survivors: int
) -> None:
    changelogs = Changelogs(4)
    lived(tmp_path, changelogs, cycles=9)
    calls = 0

    class PowerCutError(Exception):
        pass

    def cut(*_: object) -> None:
        nonlocal calls
        calls += 1
        if calls == survivors:
            raise PowerCutError

    checkpoint = opened(tmp_path)
    checkpoint.load(changelogs.kept)
    checkpoint.recovered()
    with monkeypatch.context() as patched:
        # Every write of a checkpoint ends in one of these.
        patched.setattr("os.fsync", cut)
        with pytest.raises(PowerCutError):
            work_on(checkpoint, changelogs)
    killed(checkpoint)
    assert prove(tmp_path, changelogs) == {}


@pytest.mark.parametrize(
    "foreign",
    [
        {"cluster_id": "another"},
        {"app_id": "another"},
        {"topic_id": "made anew"},
        {"partitions": 16},
        {"partition": 4},
        {"format": 0},
    ],
)
def test_a_checkpoint_of_something_else_is_refused_by_name_and_rebuilt(
    tmp_path: Path, foreign: dict[str, object]
) -> None:
    changelogs = Changelogs(5)
    other = {topic: msgspec.structs.replace(stamp, **foreign) for topic, stamp in STAMPS.items()}
    checkpoint = opened(tmp_path, other)
    checkpoint.load(changelogs.kept)
    checkpoint.add(Changelogs(6).cycle())
    checkpoint.close()
    for _ in range(9):
        changelogs.cycle()
    problems = prove(tmp_path, changelogs)
    assert problems.keys() == STAMPS.keys()
    assert all(next(iter(foreign)) in problem for problem in problems.values())
    assert prove(tmp_path, changelogs) == {}


def test_files_of_another_format_are_not_read(tmp_path: Path) -> None:
    changelogs = Changelogs(5)
    changelogs.cycle()
    content = frames.frame(msgspec.msgpack.encode({"stamp": "of the future"}))
    for name in (*TABLES.values(), "ids"):  # the first version kept the accounts in a file
        (tmp_path / name).write_bytes(content)
    assert all("format" in problem for problem in prove(tmp_path, changelogs).values())


def test_an_offset_that_the_changelog_does_not_have_means_a_rebuild(tmp_path: Path) -> None:
    changelogs = Changelogs(8)
    lived(tmp_path, changelogs)
    kept = changelogs.kept
    for first, end in ((10**6, 2 * 10**6), (0, 3)):
        checkpoint = opened(tmp_path)
        offsets, problems = checkpoint.load(dict.fromkeys(kept, (first, end)))
        assert not any(table.after(b"", 1) for table in checkpoint.tables.values())
        assert set(offsets.values()) == {0}
        assert all("offset" in problem for problem in problems.values())
        checkpoint.close()


def test_a_table_that_is_damaged_while_in_use_stops_the_worker_and_is_read_anew(
    tmp_path: Path, small_files: None
) -> None:
    changelogs = Changelogs(9)
    lived(tmp_path, changelogs, cycles=200)
    [*_, largest] = sorted(tmp_path.glob("accounts.*/*.sst"), key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 3] ^= 1
    largest.write_bytes(content)
    store = TableStore(tmp_path / "accounts", STAMPS[topics.ACCOUNT_STATE], CACHE)
    assert store.load() is None
    with pytest.raises(TableDamagedError, match="cannot be read"):
        store.after(b"", 1000)
    with suppress(TableDamagedError):
        store.close()
    assert "damaged" in prove(tmp_path, changelogs)[topics.ACCOUNT_STATE]
    assert prove(tmp_path, changelogs) == {}


def test_cycles_count_as_written_when_all_they_changed_is_on_the_disk(tmp_path: Path, small_files: None) -> None:
    """What is not on the disk must stay in memory: an account that is dropped too early would be read as it was."""
    changelogs = Changelogs(10)
    checkpoint = opened(tmp_path)
    checkpoint.load(changelogs.kept)
    checkpoint.recovered()
    behind: list[dict[bytes, bytes]] = []
    for _ in range(100):
        checkpoint.add(changelogs.cycle())
        behind.append(changelogs.newest(topics.ACCOUNT_STATE))
        checkpoint.write_some()
        table = checkpoint.tables[topics.ACCOUNT_STATE]
        on_disk, known = dict(table.after(b"", 1000)), behind[table.written - 1] if table.written else {}
        for key, value in known.items():
            newer = {cycle[key] for cycle in behind[table.written :]}
            assert on_disk[key] in {value, *newer}
    assert table.written > 50
    killed(checkpoint)


def test_a_key_that_is_gone_from_the_changelog_is_gone_from_the_table(tmp_path: Path) -> None:
    store = TableStore(tmp_path / "users", STAMPS[topics.USER_POOLS], CACHE)
    store.load()
    store.write({b"a": b"1", b"b": b"2"}, 2)
    store.write({b"a": None}, 3)
    assert store.after(b"", 10) == [(b"b", b"2")]
    store.close()


def write_and_die(directory: str, logged: list[int]) -> None:
    """Writes five changes, the first one synchronised, and those that are not `logged` without a log."""
    store = TableStore(Path(directory), STAMPS[topics.ACCOUNT_STATE], CACHE)
    store.load()
    for number in range(5):
        store.write({b"%d" % number: b"value"}, number + 1, logged=number in logged)
        if number == 0:
            store.sync()
    os._exit(9)


@pytest.mark.parametrize(("logged", "kept"), [([], 1), ([2], 3), ([2, 4], 5), ([1, 2, 3, 4], 5)])
def test_a_process_that_dies_loses_the_last_changes_without_a_log_and_nothing_before_them(
    tmp_path: Path, logged: list[int], kept: int
) -> None:
    code = f"from {__name__} import write_and_die; write_and_die({str(tmp_path / 'accounts')!r}, {logged})"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 9
    store = TableStore(tmp_path / "accounts", STAMPS[topics.ACCOUNT_STATE], CACHE)
    assert store.load() is None
    assert [key for key, _ in store.after(b"", 10)] == [b"%d" % number for number in range(kept)]
    assert store.next_offset == kept
    store.close()


def test_identities_are_remembered_for_the_window_and_dropped_a_tier_later(tmp_path: Path) -> None:
    stamp = STAMPS[topics.EVENT_IDS]
    sealed = sealed_ids.SealedIds(tmp_path, stamp, WINDOW_MS)
    tier_ms = WINDOW_MS // sealed_ids.TIERS
    event_ids = EventIds()
    last_day = 3 * WINDOW_MS // DAY_MS
    for day in range(last_day + 1):
        sealed.seal(b"".join(map(identity, range(day * 10, day * 10 + 10))), day * DAY_MS, day + 1)
    event_ids.install(sealed.runs, b"")
    remembered = {
        day for day in range(last_day + 1) if event_ids.sealed(list(map(identity, range(day * 10, day * 10 + 10))))
    }
    youngest_forgotten = max(set(range(last_day + 1)) - remembered)
    assert (last_day - youngest_forgotten) * DAY_MS > WINDOW_MS
    assert (last_day - youngest_forgotten - 1) * DAY_MS <= WINDOW_MS + tier_ms
    assert len(sealed.runs) <= sealed_ids.TIERS + 5
    assert {run.path for run in sealed.runs} == set(tmp_path.glob("*.run"))
