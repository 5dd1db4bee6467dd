"""What remembering an event id costs: time on the hot path, disk and memory, and how likely a wrong 'seen' is.

Fills the index of one worker with as many ids as its window may hold, spread over the window and its partitions, and
then does what a cycle does: looks a batch of new ids up, adds them, and now and then takes over runs that the
background thread has sealed. `--store rocksdb` does the same with RocksDB. Times are CPU times, so that other programs
on the machine count less; `hot_path_wall_us_per_event` is the time on the clock.

    .venv/bin/python benchmarks/ids.py --ids 1,10,50 --json
"""

import json
import os
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np
from rocksdict import AccessType, BlockBasedOptions, Options, Rdict, WriteBatch, WriteOptions

from processor.contracts import topics
from processor.stream.checkpoint import SEALED_AT, SEALED_AT_IN_RECOVERY
from processor.stream.event_ids import EventIds, unpack
from processor.stream.frames import Stamp
from processor.stream.id_runs import ID_BYTES
from processor.stream.sealed_ids import SealedIds

DAY_MS = 86_400_000
WINDOW_MS = 36 * DAY_MS
MEASURED = 1_000_000
RANDOM = np.random.default_rng(1)


class Store(ABC):
    """The ids of the partitions of one worker."""

    background_s = background_wall_s = 0.0

    @abstractmethod
    def fill(self, number: int, packed: bytes, at_ms: int) -> None:
        """Adds ids outside of the measurement."""

    @abstractmethod
    def cycle(self, number: int, identities: list[bytes]) -> int:
        """Looks ids up and adds them; returns how many were known."""

    @abstractmethod
    def filled(self) -> None:
        """Ends the filling."""


class Runs(Store):
    """What the worker does."""

    def __init__(self, directory: Path, partitions: int) -> None:
        self.ids = [EventIds() for _ in range(partitions)]
        self.sealed = []
        for number in range(partitions):
            stamp = Stamp(
                cluster_id="", app_id="", topic=topics.EVENT_IDS, topic_id="", partitions=partitions, partition=number
            )
            (directory / str(number)).mkdir()
            self.sealed.append(SealedIds(directory / str(number), stamp, WINDOW_MS))

    def fill(self, number: int, packed: bytes, at_ms: int) -> None:
        self.sealed[number].seal(packed, at_ms, 1)

    def filled(self) -> None:
        for ids, sealed in zip(self.ids, self.sealed, strict=True):
            ids.install(sealed.runs, b"")

    def cycle(self, number: int, identities: list[bytes]) -> int:
        ids = self.ids[number]
        fresh, sealed = ids.fresh, ids.sealed(identities)
        known = 0
        for identity in identities:
            if identity in fresh or identity in sealed:
                known += 1
            else:
                fresh.add(identity)
        if len(fresh) >= SEALED_AT:
            packed = b"".join(fresh)
            started = time.thread_time(), time.perf_counter()
            self.sealed[number].seal(packed, WINDOW_MS, 1)
            self.background_s += time.thread_time() - started[0]
            self.background_wall_s += time.perf_counter() - started[1]
            ids.install(self.sealed[number].runs, packed)
        return known


class RocksDB(Store):
    """One database per worker, a Bloom filter of 10 bits per id, no write-ahead log, as the changelog is one."""

    def __init__(self, directory: Path, partitions: int) -> None:
        del partitions
        options, blocks = Options(raw_mode=True), BlockBasedOptions()
        options.create_if_missing(True)
        blocks.set_bloom_filter(10, False)
        options.set_block_based_table_factory(blocks)
        self._db = Rdict(str(directory / "db"), options, access_type=AccessType.read_write())
        self._write_options = WriteOptions()
        self._write_options.disable_wal = True

    def fill(self, number: int, packed: bytes, at_ms: int) -> None:
        del number, at_ms
        self._write(list(unpack(packed)))

    def cycle(self, number: int, identities: list[bytes]) -> int:
        del number
        db, seen, fresh = self._db, set(), []
        for identity in identities:
            if identity in seen or identity in db:
                continue
            seen.add(identity)
            fresh.append(identity)
        self._write(fresh)
        return len(identities) - len(fresh)

    def filled(self) -> None:
        self._db.flush()

    def _write(self, identities: list[bytes]) -> None:
        batch = WriteBatch(raw_mode=True)
        for identity in identities:
            batch.put(identity, b"")
        self._db.write(batch, self._write_options)


STORES: dict[str, type[Store]] = {"runs": Runs, "rocksdb": RocksDB}


def measure(kind: str, millions: float, partitions: int, batch: int, directory: Path) -> dict[str, Any]:
    """Fills one store and works on it."""
    count = round(millions * 1_000_000)
    before = memory()["RssAnon"]
    store = STORES[kind](directory, partitions)
    started = time.thread_time()
    sample = fill(store, count, partitions)
    store.filled()
    fill_s = time.thread_time() - started
    anonymous = memory()
    # As far apart as batches are: the ids of one partition are not in the processor's cache when it is their turn.
    batches = [list(unpack(RANDOM.bytes(ID_BYTES * batch))) for _ in range(MEASURED // batch)]
    with peak() as highest:
        began = time.thread_time(), time.perf_counter()
        known = sum(store.cycle(at % partitions, identities) for at, identities in enumerate(batches))
        hot_s = time.thread_time() - began[0] - store.background_s
        hot_wall_s = time.perf_counter() - began[1] - store.background_wall_s
    assert known == 0
    for number, identities in sample:
        assert store.cycle(number, identities) == len(identities)
    size = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    remembered = count + MEASURED
    return {
        "store": kind,
        "ids": count,
        "partitions": partitions,
        "batch": batch,
        "hot_path_us_per_event": round(hot_s / MEASURED * 1e6, 3),
        "hot_path_wall_us_per_event": round(hot_wall_s / MEASURED * 1e6, 3),
        "background_us_per_event": round(store.background_s / MEASURED * 1e6, 3),
        "fill_us_per_id": round(fill_s / count * 1e6, 3),
        "disk_bytes_per_id": round(size / remembered, 2),
        "memory_bytes_per_id": round((anonymous["RssAnon"] - before) / count, 2),
        "peak_memory_bytes_per_id": round((highest[0] - before) / remembered, 2),
        "mapped_bytes_per_id": round(anonymous["RssFile"] / count, 2),
        "wrong_seen_per_event": count / partitions / 2.0**128,
    }


def fill(store: Store, count: int, partitions: int) -> list[tuple[int, list[bytes]]]:
    """Spreads ids over partitions and window; returns some that must be found."""
    share, sample = count // partitions, []
    for number in range(partitions):
        for start in range(0, share, SEALED_AT_IN_RECOVERY):
            packed = RANDOM.bytes(ID_BYTES * min(SEALED_AT_IN_RECOVERY, share - start))
            store.fill(number, packed, WINDOW_MS * start // share)
            sample.append((number, list(unpack(packed[: ID_BYTES * 100]))))
    return sample


def memory() -> dict[str, int]:
    """Returns this process's anonymous memory and its part of the page cache, bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return {name: int(line.split()[1]) << 10 for line in lines for name in ("RssAnon", "RssFile") if name in line}


@contextmanager
def peak() -> Iterator[list[int]]:
    """Watches anonymous memory; the list holds the most that was seen."""
    highest, over = [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            highest[0] = max(highest[0], memory()["RssAnon"])

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield highest
    finally:
        over.set()
        thread.join()


@click.command()
@click.option("--ids", default="1,10,50", show_default=True, help="Millions of ids in the window, comma-separated.")
@click.option("--partitions", type=click.IntRange(1), default=8, show_default=True, help="Of the worker.")
@click.option("--batch", type=click.IntRange(1), default=1000, show_default=True, help="Ids of a partition in a cycle.")
@click.option("--store", type=click.Choice(list(STORES)), default="runs", show_default=True)
@click.option("--directory", type=click.Path(path_type=Path), help="On the disk to measure  [a temporary one]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(ids: str, partitions: int, batch: int, store: str, directory: Path | None, as_json: bool) -> None:
    """Measure the de-duplication index on this machine."""
    figures = []
    for millions in map(float, ids.split(",")):
        # Every size in a process of its own, so that memory is not what an earlier one has left.
        with tempfile.TemporaryDirectory(dir=directory) as place:
            reader, writer = os.pipe()
            if (child := os.fork()) == 0:
                os.write(writer, json.dumps(measure(store, millions, partitions, batch, Path(place))).encode())
                os._exit(0)
            os.close(writer)
            with os.fdopen(reader) as answer:
                figures.append(json.loads(answer.read()))
            os.waitpid(child, 0)
        if not as_json:
            click.echo("  ".join(f"{name} {value}" for name, value in figures[-1].items()))
    if as_json:
        click.echo(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
