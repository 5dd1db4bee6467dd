"""The thread that keeps the checkpoints: what it may write, when, and what happens when it cannot."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from xxhash import xxh3_128_digest

from processor.contracts import topics
from processor.stream.checkpoint import CHANGELOGS, SEALED_AT
from processor.stream.checkpoint_writer import CheckpointWriter
from processor.stream.event_ids import EventIds
from processor.stream.frames import Stamp
from processor.stream.work import Work
from tests.unit.builders import NOW

NUMBER = 3
STATE, IDS = (topics.ACCOUNT_STATE, NUMBER), (topics.EVENT_IDS, NUMBER)
STAMPS = {
    topic: Stamp(cluster_id="c", app_id="a", topic=topic, topic_id="t", partitions=8, partition=NUMBER)
    for topic in CHANGELOGS
}
KEPT = dict.fromkeys(STAMPS, (0, 10**6))
FAR_S = 3600.0


class Worker:
    """A checkpoint writer, and what it asked for on the thread of the event ids."""

    def __init__(self, directory: Path, interval_s: float = FAR_S) -> None:
        self.died: list[BaseException] = []
        self.dead = threading.Event()
        self.posted: list[tuple[object, ...]] = []
        self.installed = threading.Event()
        self.checkpoints = CheckpointWriter(
            directory, window_ms=36 * 86_400_000, interval_s=interval_s, on_death=self.die
        )
        self.checkpoints.start(self.post)

    def die(self, error: BaseException) -> None:
        self.died.append(error)
        self.dead.set()

    def post(self, install: Callable[..., None], *sealed: object) -> None:
        self.posted.append((install, *sealed))
        self.installed.set()

    def adopt(self) -> tuple[dict[bytes, bytes], EventIds, dict[str, int]]:
        """Opens the partition, whose changelogs have nothing that its checkpoint lacks."""
        loaded = self.checkpoints.open(NUMBER, STAMPS, KEPT)
        event_ids = EventIds()
        tables = self.checkpoints.recovered(NUMBER, event_ids)
        return dict(tables[topics.ACCOUNT_STATE].after(b"", 10)), event_ids, loaded.offsets


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    assert not [thread for thread in threading.enumerate() if thread.name == "checkpoint"]


def cycle(number: int, identities: list[bytes]) -> Work:
    work = Work(NOW)
    work.changelogs[STATE] = [(b"tenant", b"account %d" % number)]
    work.changelogs[IDS] = [(None, b"".join(identities))]
    return work


def identity(number: int) -> bytes:
    return xxh3_128_digest(number.to_bytes(8, "little"))


def test_what_was_committed_is_there_after_a_stop_with_the_offsets_behind_it(directory: Path) -> None:
    worker = Worker(directory)
    worker.adopt()
    worker.checkpoints.committed(cycle(1, [identity(1)]), {STATE: 11, IDS: 21})
    worker.checkpoints.committed(cycle(2, [identity(2), identity(3)]), {STATE: 12, IDS: 22})
    worker.checkpoints.stop()
    again = Worker(directory)
    accounts, event_ids, offsets = again.adopt()
    again.checkpoints.stop()
    assert accounts == {b"tenant": b"account 2"}
    assert event_ids.sealed([identity(n) for n in range(5)]) == {identity(1), identity(2), identity(3)}
    assert offsets == {topics.ACCOUNT_STATE: 12, topics.USER_POOLS: 0, topics.EVENT_IDS: 22}
    assert not worker.died


def test_a_released_partition_can_be_adopted_again_with_everything(directory: Path) -> None:
    worker = Worker(directory)
    worker.adopt()
    worker.checkpoints.committed(cycle(1, [identity(1)]), {STATE: 11, IDS: 21})
    worker.checkpoints.release([NUMBER])
    accounts, event_ids, _ = worker.adopt()
    worker.checkpoints.stop()
    assert accounts == {b"tenant": b"account 1"}
    assert len(event_ids) == 1


def test_sealed_identities_are_moved_by_the_thread_that_owns_them_and_are_known_all_the_time(directory: Path) -> None:
    worker = Worker(directory)
    _, event_ids, _ = worker.adopt()
    committed = [identity(number) for number in range(SEALED_AT)]
    underway = identity(SEALED_AT)
    event_ids.fresh.update([*committed, underway])
    worker.checkpoints.committed(cycle(1, committed), {STATE: 11, IDS: 21})
    assert worker.installed.wait(30)
    assert len(event_ids.fresh) == SEALED_AT + 1
    [(install, *sealed)] = worker.posted
    assert callable(install)
    install(*sealed)
    assert event_ids.fresh == {underway}
    assert event_ids.sealed([*committed, underway]) == set(committed)
    worker.checkpoints.stop()


def test_changes_that_waited_for_the_interval_are_written_without_further_commits(directory: Path) -> None:
    worker = Worker(directory, interval_s=0)
    _, event_ids, _ = worker.adopt()
    event_ids.fresh.add(identity(1))
    worker.checkpoints.committed(cycle(1, [identity(1)]), {STATE: 11, IDS: 21})
    assert worker.installed.wait(30)
    assert worker.checkpoints.age_s() == 0
    assert worker.checkpoints.size_bytes() > 16
    worker.checkpoints.stop()


def test_a_changelog_record_without_its_offset_is_our_fault_and_not_passed_over(directory: Path) -> None:
    worker = Worker(directory)
    worker.adopt()
    with pytest.raises(KeyError):
        worker.checkpoints.committed(cycle(1, [identity(1)]), {STATE: 11})
    worker.checkpoints.stop()


def test_what_cannot_be_written_ends_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker(tmp_path, interval_s=0)
    worker.adopt()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    worker.checkpoints.committed(cycle(1, [identity(1)]), {STATE: 11, IDS: 21})
    assert worker.dead.wait(30)
    assert "No space left" in str(worker.died[0])
    for checkpoint in worker.checkpoints._checkpoints.values():
        for table in checkpoint.tables.values():
            table.store.close()
