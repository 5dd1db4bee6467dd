"""The thread that keeps the local checkpoints of a worker's partitions: step B7, beside the cycle.

It lags behind the commits, never the other way round: only what the broker has acknowledged as committed is handed
over. Whatever it cannot write ends the process, as a full disk does; the next one goes on from what is whole.
"""

import queue
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, Final, TypeVar

from rocksdict import Cache

from processor.contracts import topics
from processor.stream.checkpoint import TABLES, Changes, Loaded, PartitionCheckpoint, Sealed
from processor.stream.event_ids import EventIds, unpack
from processor.stream.frames import Stamp
from processor.stream.stored_table import StoredTable
from processor.stream.table_store import CACHE_BYTES, Change
from processor.stream.work import Work

CYCLES_WAITING_MAX: Final = 16
"""Committed cycles that may wait for the disk; more make the next commit wait, so a slow disk slows the worker down."""

LOOK_S: Final = 1.0
"""How often an idle thread looks for changes that have waited for long enough."""

Result = TypeVar("Result")
Post = Callable[..., object]
"""Calls a function with arguments in the thread that owns the event ids."""


class CheckpointWriter:
    """Owns the checkpoint files of all partitions; its methods may be called from any thread."""

    def __init__(
        self, directory: Path, *, window_ms: int, interval_s: float, on_death: Callable[[BaseException], None]
    ) -> None:
        self._directory = directory
        self._window_ms = window_ms
        self._interval_s = interval_s
        self._on_death = on_death
        self._jobs: queue.Queue[Callable[[], None] | None] = queue.Queue(CYCLES_WAITING_MAX)
        self._checkpoints: dict[int, PartitionCheckpoint] = {}
        self._event_ids: dict[int, EventIds] = {}
        self._thread = threading.Thread(target=self._work, name="checkpoint", daemon=True)
        self._backlog = False
        self._cache = Cache(CACHE_BYTES)
        self._post: Post

    def start(self, post: Post) -> None:
        """Begins to work; `post` is how the event ids of adopted partitions are changed."""
        self._post = post
        self._thread.start()

    def open(self, number: int, stamps: dict[str, Stamp], kept: dict[str, tuple[int, int]]) -> Loaded:
        """Reads the checkpoint of a partition, as `PartitionCheckpoint.load` describes."""
        return self._call(self._open, number, stamps, kept)

    def add(self, number: int, changes: Changes) -> None:
        """Takes committed changes of an opened partition in; waits while too many are waiting."""
        self._jobs.put(partial(self._add, number, changes))

    def recovered(self, number: int, event_ids: EventIds) -> dict[str, StoredTable]:
        """Ends the recovery of a partition: fills its event ids, and from now on moves what is sealed to their runs.

        Returns its tables by topic; any thread may read them.
        """
        return self._call(self._recovered, number, event_ids)

    def committed(self, work: Work, ends: dict[tuple[str, int], int]) -> None:
        """Takes one committed cycle in; `ends` are the offsets behind what it wrote to the changelogs."""
        at_ms = int(work.now.timestamp() * 1000)
        for number in {number for _, number in work.changelogs}:
            tables: dict[str, tuple[Change, int]] = {}
            for topic in TABLES:
                if changes := work.changelogs.get((topic, number)):
                    # A missing end is a fault of ours and ends the process.
                    tables[topic] = {key: value for key, value in changes if key is not None}, ends[topic, number]
            packed = [value for _, value in work.changelogs.get((topics.EVENT_IDS, number), ())]
            ids_end = ends[topics.EVENT_IDS, number] if packed else None
            self.add(number, Changes(tables, packed, ids_end, at_ms))

    def release(self, numbers: Iterable[int]) -> None:
        """Flushes and closes the checkpoints of partitions that are let go, in the background."""
        for number in numbers:
            self._jobs.put(partial(self._close, number))

    def stop(self) -> None:
        """Flushes and closes everything and ends the thread."""
        self.release(list(self._checkpoints))
        self._jobs.put(None)
        self._thread.join()

    def age_s(self) -> float:
        """Returns for how long the oldest committed change has waited to be written; 0 when all are."""
        waiting = [checkpoint.waiting_since for checkpoint in list(self._checkpoints.values())]
        return max((monotonic() - since for since in waiting if since is not None), default=0.0)

    def size_bytes(self) -> int:
        """Returns what the checkpoints of the owned partitions take on the disk."""
        return sum(checkpoint.size_bytes for checkpoint in list(self._checkpoints.values()))

    def _call(self, job: Callable[..., Result], *arguments: Any) -> Result:
        """Runs a job in the thread, after all that were given before, and returns or raises what it does."""
        future: Future[Result] = Future()

        def run() -> None:
            try:
                future.set_result(job(*arguments))
            except Exception as error:  # noqa: BLE001 - raised again where it was called for
                future.set_exception(error)

        self._jobs.put(run)
        return future.result()

    def _work(self) -> None:
        try:
            while True:
                try:
                    job = self._jobs.get(timeout=0 if self._backlog else LOOK_S)
                except queue.Empty:
                    job = self._look
                if job is None:
                    return
                job()
                self._look()
        except BaseException as error:  # noqa: BLE001 - the thread's last word: the process ends with it
            self._on_death(error)

    def _look(self) -> None:
        """Writes what has waited for long enough, and some of many changes: then the jobs have their turn again.

        A long recovery is written too, so that the next one begins where a first one was given up.
        """
        due = monotonic() - self._interval_s
        self._backlog = False
        for number, checkpoint in self._checkpoints.items():
            if checkpoint.backlog:
                checkpoint.write_some()
                self._backlog = True
            elif (since := checkpoint.waiting_since) is not None and since <= due:
                self._install(number, checkpoint.flush())

    def _open(self, number: int, stamps: dict[str, Stamp], kept: dict[str, tuple[int, int]]) -> Loaded:
        checkpoint = PartitionCheckpoint(self._directory / str(number), stamps, self._window_ms, self._cache)
        loaded = checkpoint.load(kept)
        self._checkpoints[number] = checkpoint
        return loaded

    def _recovered(self, number: int, event_ids: EventIds) -> dict[str, StoredTable]:
        runs, packed = self._checkpoints[number].recovered()
        event_ids.install(runs, b"")
        event_ids.fresh.update(unpack(packed))
        self._event_ids[number] = event_ids
        return self._checkpoints[number].tables

    def _add(self, number: int, changes: Changes) -> None:
        self._install(number, self._checkpoints[number].add(changes))

    def _install(self, number: int, sealed: Sealed | None) -> None:
        event_ids = self._event_ids.get(number)
        if sealed is not None and event_ids is not None:
            self._post(event_ids.install, *sealed)

    def _close(self, number: int) -> None:
        # Absent where a partition is lost before it was recovered.
        self._event_ids.pop(number, None)
        checkpoint = self._checkpoints.pop(number, None)
        if checkpoint is not None:
            checkpoint.close()
