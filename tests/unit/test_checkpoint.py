"""The local checkpoint: whatever happened to its files, recovery ends with exactly what the changelogs say."""

import random
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

import msgspec
import pytest

from processor.contracts import topics
from processor.stream import frames, sealed_ids, table_log
from processor.stream.checkpoint import Changes, PartitionCheckpoint
from processor.stream.event_ids import EventIds, unpack
from processor.stream.frames import Stamp
from processor.stream.table_log import TableLog, TableLogDamagedError

DAY_MS = 86_400_000
WINDOW_MS = 36 * DAY_MS
STAMPS = {
    topic: Stamp(cluster_id="cluster", app_id="app", topic=topic, topic_id=f"id of {topic}", partitions=8, partition=3)
    for topic in (topics.ACCOUNT_STATE, topics.EVENT_IDS)
}


class Changelogs:
    """Two changelogs as a broker keeps them, and the cycles that were committed to them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.accounts: list[tuple[bytes, bytes] | None] = []
        self.event_ids: list[bytes | None] = []
        self.at_ms = 40 * DAY_MS
        self.applied: list[bytes] = []

    def cycle(self) -> Changes:
        """Commits a cycle; every transaction ends with a marker that takes an offset and is read by nobody."""
        self.at_ms += 60_000
        tenants = [b"tenant-%d" % self.random.randrange(200) for _ in range(self.random.randrange(1, 12))]
        changed = {tenant: self.random.randbytes(self.random.randrange(1, 400)) for tenant in tenants}
        packed = b"".join(identity(len(self.applied) + number) for number in range(self.random.randrange(1, 60)))
        self.applied += unpack(packed)
        self.accounts += changed.items()
        self.event_ids.append(packed)
        ends = len(self.accounts), len(self.event_ids)
        self.accounts.append(None)
        self.event_ids.append(None)
        return Changes(changed, ends[0], [packed], ends[1], self.at_ms)

    def table(self) -> dict[bytes, bytes]:
        return dict(record for record in self.accounts if record is not None)

    @property
    def kept(self) -> dict[str, tuple[int, int]]:
        return {topics.ACCOUNT_STATE: (0, len(self.accounts)), topics.EVENT_IDS: (0, len(self.event_ids))}


def identity(number: int) -> bytes:
    return blake2b(number.to_bytes(8, "little"), digest_size=16).digest()


def opened(directory: Path, stamps: dict[str, Stamp] = STAMPS) -> PartitionCheckpoint:
    return PartitionCheckpoint(directory, stamps, WINDOW_MS)


def recovered(directory: Path, changelogs: Changelogs) -> tuple[dict[bytes, bytes], EventIds, dict[str, str]]:
    """Recovers as `recovery.recover` does: the checkpoint, then the rest of the changelogs."""
    checkpoint = opened(directory)
    accounts, _, offsets, problems = checkpoint.load(changelogs.kept)
    tail = dict(record for record in changelogs.accounts[offsets[topics.ACCOUNT_STATE] :] if record is not None)
    packed = [record for record in changelogs.event_ids[offsets[topics.EVENT_IDS] :] if record is not None]
    if tail:
        checkpoint.add(Changes(tail, len(changelogs.accounts), [], None, changelogs.at_ms))
    if packed:
        checkpoint.add(Changes({}, None, packed, len(changelogs.event_ids), changelogs.at_ms))
    runs, rest = checkpoint.recovered()
    event_ids = EventIds()
    event_ids.install(runs, b"")
    event_ids.fresh.update(unpack(rest))
    checkpoint.close()
    return accounts | tail, event_ids, problems


def prove(directory: Path, changelogs: Changelogs) -> dict[str, str]:
    accounts, event_ids, problems = recovered(directory, changelogs)
    assert accounts == changelogs.table()
    assert len(event_ids) == len(changelogs.applied)
    assert event_ids.fresh | event_ids.sealed(changelogs.applied) == set(changelogs.applied)
    assert not event_ids.sealed([identity(-number % 2**64) for number in range(1, 500)])
    return problems


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a power cut leaves behind is made by hand here."""
    monkeypatch.setattr("os.fsync", lambda _: None)
    monkeypatch.setattr("os.fdatasync", lambda _: None)


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes frames, runs and rewrites come often enough for a small test."""
    monkeypatch.setattr("processor.stream.checkpoint.CHANGES_AT_ONCE", 5)
    monkeypatch.setattr(table_log, "GARBAGE_FREE_BYTES", 20_000)


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
    checkpoint._accounts.close()


def work_on(checkpoint: PartitionCheckpoint, changelogs: Changelogs) -> None:
    while True:
        checkpoint.add(changelogs.cycle())
        checkpoint.flush()


def files(directory: Path) -> Iterator[Path]:
    return (path for path in sorted(directory.iterdir()) if path.is_file())


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
    lived(tmp_path, changelogs)
    pristine = {path: path.read_bytes() for path in files(tmp_path)}
    noticed = 0
    for _ in range(200):
        for path in list(files(tmp_path)):
            path.unlink()
        for path, content in pristine.items():
            path.write_bytes(content)
        victim = chance.choice(sorted(pristine))
        content = bytearray(pristine[victim])
        at = chance.randrange(len(content))
        if chance.random() < 0.5:
            del content[at:]
        else:
            content[at] ^= 1 << chance.randrange(8)
        victim.write_bytes(content)
        noticed += bool(prove(tmp_path, changelogs))
        changelogs.cycle()  # life goes on behind the damage
    assert noticed > 150  # a cut between two frames leaves an older checkpoint, which is a good one


def test_after_a_damage_the_checkpoint_goes_on_from_what_was_whole(tmp_path: Path, small_files: None) -> None:
    chance = random.Random(3)
    changelogs = Changelogs(3)
    for _ in range(30):
        lived(tmp_path, changelogs, cycles=7)
        accounts = tmp_path / "accounts"
        content = bytearray(accounts.read_bytes())
        content[chance.randrange(len(content))] ^= 16
        accounts.write_bytes(content)
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
        patched.setattr("os.fdatasync", cut)
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
    (tmp_path / "accounts").write_bytes(content)
    (tmp_path / "ids").write_bytes(content)
    assert all("format" in problem for problem in prove(tmp_path, changelogs).values())


def test_an_offset_that_the_changelog_does_not_have_means_a_rebuild(tmp_path: Path) -> None:
    changelogs = Changelogs(8)
    lived(tmp_path, changelogs)
    kept = changelogs.kept
    for first, end in ((10**6, 2 * 10**6), (0, 3)):
        checkpoint = opened(tmp_path)
        accounts, event_ids, offsets, problems = checkpoint.load(dict.fromkeys(kept, (first, end)))
        assert (accounts, event_ids) == ({}, 0)
        assert set(offsets.values()) == {0}
        assert all("offset" in problem for problem in problems.values())
        checkpoint.close()


def test_the_file_of_the_accounts_is_rewritten_before_it_grows_beyond_its_garbage(
    tmp_path: Path, small_files: None
) -> None:
    changelogs = Changelogs(9)
    lived(tmp_path, changelogs, cycles=800)
    live = sum(len(key) + len(value) for key, value in changelogs.table().items())
    assert (tmp_path / "accounts").stat().st_size < 3 * live + 2 * 20_000
    assert prove(tmp_path, changelogs) == {}


def test_a_file_that_is_damaged_while_in_use_stops_the_worker_instead_of_losing_accounts(
    tmp_path: Path, small_files: None
) -> None:
    path = tmp_path / "accounts"
    log = TableLog(path, STAMPS[topics.ACCOUNT_STATE])
    log.load()
    log.append({b"a": b"1"}, 1)
    middle = path.stat().st_size
    log.append({b"b": b"2"}, 2)
    content = bytearray(path.read_bytes())
    content[middle + 3] ^= 1
    path.write_bytes(content)
    with pytest.raises(TableLogDamagedError, match="damaged after"):
        append_garbage(log)
    log.close()


def append_garbage(log: TableLog) -> None:
    for number in range(3, 5000):
        log.append({b"c": b"x" * 100}, number)


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
