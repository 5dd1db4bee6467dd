"""Changed deck files price from the next cycle, broken ones change nothing, and a half-written one is waited for."""

import asyncio
import gc
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from processor.contracts.decks import load_decks
from processor.domain.tariff import Tariff
from processor.observability.metrics import Metrics
from processor.stream import rates
from processor.stream.checkpoint_writer import CheckpointWriter
from processor.stream.cycle import Cycle
from processor.stream.partition import PartitionProcessor
from processor.stream.rates import Rates, Result
from processor.stream.transaction import Transactions

HEADER = "prefix,destination,type,country,rate_per_min\n"
POLL_S = 0.02
NEVER = 0


class Seen:
    """What the metrics and the cycle were told."""

    def __init__(self) -> None:
        self.results: list[Result] = []
        self.in_use: list[Tariff] = []
        self.used: list[Tariff] = []

    def tariff_in_use(self, tariff: Tariff) -> None:
        self.in_use.append(tariff)

    def rates_reloaded(self, result: Result) -> None:
        self.results.append(result)


def price(path: Path, rate: str) -> None:
    """Replaces a deck as documented: a complete file is renamed."""
    fresh = path.with_suffix(".new")
    fresh.write_text(f"{HEADER}44,UK,landline,GB,{rate}\n")
    fresh.replace(path)


def remove(path: Path) -> None:
    path.unlink()


@pytest.fixture
def deck(tmp_path: Path) -> Path:
    path = tmp_path / "deck.csv"
    price(path, "1")
    return path


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.001)


class Watching:
    """Rates under watch for the length of a block."""

    def __init__(self, *paths: Path, poll_s: float) -> None:
        self.seen = Seen()
        self.rates = Rates(paths, lambda: Tariff(load_decks(paths)), self.seen, poll_s)

    async def __aenter__(self) -> tuple[Rates, Seen]:
        self._task = asyncio.create_task(self.rates.watch(self.seen.used.append))
        return self.rates, self.seen

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])
        assert self._task.cancelled()


def rate(tariff: Tariff) -> int:
    return tariff.decks[0].rows[0].rate_micros_per_min


def test_a_replaced_file_becomes_the_tariff_in_use(deck: Path) -> None:
    async def scenario() -> None:
        async with Watching(deck, poll_s=POLL_S) as (watched, seen):
            assert rate(watched.tariff) == 1_000_000
            price(deck, "2")
            await until(lambda: bool(seen.results))
            assert seen.results == ["applied"]
            assert [rate(tariff) for tariff in seen.used] == [2_000_000]
            assert seen.used[0] is watched.tariff is seen.in_use[-1]

    asyncio.run(scenario())


def test_a_file_that_changes_while_the_decks_are_first_read_is_not_missed(deck: Path) -> None:
    async def scenario() -> None:
        watching = Watching(deck, poll_s=POLL_S)
        price(deck, "2")  # after the files were read, before they are watched
        async with watching as (_, seen):
            await until(lambda: seen.results == ["applied"])

    asyncio.run(scenario())


def test_a_broken_file_is_refused_once_with_its_lines_and_mended_later(deck: Path) -> None:
    async def scenario() -> None:
        async with Watching(deck, poll_s=POLL_S) as (watched, seen):
            before = watched.tariff
            price(deck, "cheap")
            with capture_logs() as logs:
                await until(lambda: seen.results == ["refused"])
            assert watched.tariff is before
            assert seen.used == []
            [refusal] = [line for line in logs if line["log_level"] == "error"]
            assert (refusal["deck"], refusal["problems_total"]) == ("deck", 1)
            assert refusal["problems"] == ["line 2: rate_per_min: 'cheap' is not a decimal amount"]
            price(deck, "3")
            await until(lambda: seen.results == ["refused", "applied"])
            assert rate(watched.tariff) == 3_000_000

    asyncio.run(scenario())


def test_a_missing_file_is_refused_and_a_reload_is_counted_each_time_it_is_asked_for(deck: Path) -> None:
    async def scenario() -> None:
        async with Watching(deck, poll_s=NEVER) as (watched, seen):
            remove(deck)
            for asked in (1, 2):
                watched.reload()
                await until(lambda asked=asked: len(seen.results) == asked)  # type: ignore[misc]
            assert seen.results == ["refused", "refused"]
            assert rate(watched.tariff) == 1_000_000

    asyncio.run(scenario())


def test_a_file_with_the_same_content_replaces_nothing(deck: Path) -> None:
    async def scenario() -> None:
        async with Watching(deck, poll_s=POLL_S) as (watched, seen):
            before = watched.tariff
            os.utime(deck, (1, 1))
            await until(lambda: seen.results == ["unchanged"])
            assert watched.tariff is before
            assert seen.used == []

    asyncio.run(scenario())


def test_a_file_that_keeps_changing_is_read_when_it_has_come_to_rest(
    deck: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []
    writes = iter(["2", "2.5", "3"])

    def stat_while_somebody_writes(path: Path) -> tuple[int, int, int]:
        if len(looked) % 2 and (text := next(writes, None)) is not None:
            price(path, text)
        looked.append(1)
        found = path.stat()
        return found.st_ino, found.st_size, found.st_mtime_ns

    async def scenario() -> None:
        watching = Watching(deck, poll_s=POLL_S)
        monkeypatch.setattr(rates, "_stat", stat_while_somebody_writes)
        async with watching as (watched, seen):
            await until(lambda: bool(seen.results))
            assert seen.results == ["applied"]
            assert rate(watched.tariff) == 3_000_000
            assert next(writes, None) is None

    asyncio.run(scenario())


def test_the_loop_goes_on_while_a_deck_is_read(deck: Path) -> None:
    turns: list[int] = []
    loading = asyncio.Event()

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        first = Tariff(load_decks([deck]))

        def load() -> Tariff:
            """Ends only after the loop has run what this thread asks of it."""
            if not turns:
                turns.append(0)
                return first
            asyncio.run_coroutine_threadsafe(loading.wait(), loop).result(20)
            return Tariff(load_decks([deck]))

        seen = Seen()
        slow = Rates([deck], load, seen, NEVER)
        task = asyncio.create_task(slow.watch(seen.used.append))
        slow.reload()
        await asyncio.sleep(0)
        loading.set()
        await until(lambda: seen.results == ["unchanged"])
        task.cancel()

    asyncio.run(scenario())


def test_the_deck_of_the_package_is_never_replaced() -> None:
    async def scenario() -> None:
        async with Watching(poll_s=NEVER) as (watched, seen):
            watched.reload()
            await until(lambda: seen.results == ["unchanged"])

    asyncio.run(scenario())


def test_partitions_that_arrive_while_the_rates_change_get_the_new_ones(tmp_path: Path) -> None:
    first, second = (Tariff(load_decks(())) for _ in range(2))

    async def scenario() -> None:
        loop = asyncio.get_running_loop()

        def recover(fresh: list[PartitionProcessor]) -> int:
            assert [processor.tariff for processor in fresh] == [first]
            asyncio.run_coroutine_threadsafe(change(), loop).result(20)
            return 0

        async def change() -> None:
            cycle.use(second)

        checkpoints = CheckpointWriter(tmp_path, window_ms=1, interval_s=1, on_death=lambda _: None)
        checkpoints.start(asyncio.get_running_loop().call_soon_threadsafe)
        cycle = Cycle(
            Transactions({}, "test", 10),
            first,
            lambda number, tariff: PartitionProcessor(number, 8, tariff),
            recover,
            checkpoints,
            Metrics(),
            batch_max_events=1,
            linger_s=0,
            on_death=lambda _: None,
        )
        await cycle.adopt({3}, {})
        assert cycle.processors[3].tariff is second
        cycle.use(first)
        assert cycle.processors[3].tariff is first
        await cycle.stop()

    asyncio.run(scenario())
    gc.unfreeze()
