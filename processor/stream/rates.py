"""Keeps the tariff current: changed deck files are read while the worker goes on, and price from the next cycle.

A file with mistakes changes nothing: the tariff in use stays until the files make a whole new one.
"""

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Literal, Protocol, get_args

import structlog

from processor.contracts.decks import DeckError
from processor.domain.tariff import Tariff

log = structlog.get_logger()

Result = Literal["applied", "unchanged", "refused"]
RESULTS: Final[tuple[Result, ...]] = get_args(Result)

PROBLEMS_LOGGED: Final = 20
"""Mistakes of a refused file that a log line names; `credits rates lint` names all."""

_Stat = tuple[int, int, int] | None


class Observer(Protocol):
    """What the rates tell the metrics."""

    def tariff_in_use(self, tariff: Tariff) -> None:
        """This tariff prices from now on."""

    def rates_reloaded(self, result: Result) -> None:
        """The files were read again."""


class Unobserved:
    """Keeps no metrics."""

    def tariff_in_use(self, tariff: Tariff) -> None:
        """Does nothing."""

    def rates_reloaded(self, result: Result) -> None:
        """Does nothing."""


class Rates:
    """The tariff in use and the files it comes from. Belongs to the event loop; only files are read beside it."""

    def __init__(self, paths: Iterable[Path], load: Callable[[], Tariff], observer: Observer, poll_s: float) -> None:
        """Reads the files; raises whatever `load` raises. `poll_s` 0 waits for `reload` only."""
        self._paths = tuple(paths)
        self._load = load
        self._observer = observer
        self._poll_s = poll_s
        self._asked = asyncio.Event()
        self._read = self._stats()
        self.tariff = load()
        observer.tariff_in_use(self.tariff)

    def reload(self) -> None:
        """Has the files read now, even if they look unchanged; on the event loop's thread."""
        self._asked.set()

    async def watch(self, use: Callable[[Tariff], None]) -> None:
        """Hands every new tariff to `use`, on the event loop's thread, until it is cancelled."""
        while True:
            await self._due()
            await self._replace(use)

    async def _due(self) -> None:
        """Waits for `reload`, or for a change that has been left alone for one poll: half a file may be a valid one."""
        while True:
            before = self._stats()
            try:
                await asyncio.wait_for(self._asked.wait(), self._poll_s or None)
            except TimeoutError:
                if self._stats() == before != self._read:
                    return
            else:
                return

    async def _replace(self, use: Callable[[Tariff], None]) -> None:
        self._asked.clear()
        self._read = self._stats()
        try:
            fresh = await asyncio.to_thread(self._load)
        except (DeckError, OSError) as error:
            _log_refusal(error)
            result: Result = "refused"
        else:
            result = "unchanged" if _names(fresh) == _names(self.tariff) else "applied"
            if result == "applied":
                use(fresh)
                self.tariff = fresh
                self._observer.tariff_in_use(fresh)
            log.info("rate decks read", result=result, decks=_names(self.tariff))
        self._observer.rates_reloaded(result)

    def _stats(self) -> list[_Stat]:
        return [_stat(path) for path in self._paths]


def _log_refusal(error: DeckError | OSError) -> None:
    if isinstance(error, DeckError):
        deck, problems = error.name, error.problems
    else:
        deck, problems = str(error.filename), [(0, error.strerror or "cannot be read")]
    said = [f"line {line}: {problem}" if line else problem for line, problem in problems[:PROBLEMS_LOGGED]]
    log.error("rate deck refused, the old rates stay", deck=deck, problems=said, problems_total=len(problems))


def _stat(path: Path) -> _Stat:
    try:
        found = path.stat()
    except OSError:  # reading it will say why
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _names(tariff: Tariff) -> list[str]:
    return [f"{deck.deck_id}@{deck.version}" for deck in tariff.decks]
