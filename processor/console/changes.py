"""Tells the requests that wait about a tenant that the read model has moved on: from the follower to the event loop.

Only who waits for a tenant that changed is woken: a thousand open pages cost nothing while others' accounts change.
"""

import asyncio
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager


class Watch:
    """One tenant while somebody waits; belongs to the event loop. `count` goes up with every commit about it."""

    def __init__(self) -> None:
        self.count = 0
        self.watchers = 0
        self._moved = asyncio.Event()
        self._version: asyncio.Task[str] | None = None

    async def wait(self, seen: int, timeout_s: float) -> None:
        """Returns when `count` is beyond `seen`, or when the time is over."""
        try:
            async with asyncio.timeout(timeout_s):
                while self.count == seen:
                    await self._moved.wait()
        except TimeoutError:
            return

    async def version(self, look: Callable[[], str]) -> str:
        """Returns what `look` finds, which runs in a thread, once for all who ask between two commits."""
        if self._version is None or (self._version.done() and self._version.exception() is not None):
            self._version = asyncio.create_task(asyncio.to_thread(look))
        return await asyncio.shield(self._version)

    def move(self) -> None:
        """Wakes everybody who waits."""
        self.count += 1
        self._version = None
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()


class ChangeSignal:
    """Knows who waits for which tenant."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watched: dict[str, Watch] = {}

    def bind(self) -> None:
        """Makes the running loop the one in which others wait."""
        self._loop = asyncio.get_running_loop()

    @contextmanager
    def watch(self, tenant: str) -> Iterator[Watch]:
        """Has commits about a tenant counted; what is read from the database meanwhile is never older than that."""
        watch = self._watched.setdefault(tenant, Watch())
        watch.watchers += 1
        try:
            yield watch
        finally:
            watch.watchers -= 1
            if not watch.watchers:
                del self._watched[tenant]

    def stored(self, tenants: Collection[str]) -> None:
        """Announces a commit about these tenants; called from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._move, tenants)

    def wake(self) -> None:
        """Wakes everybody, to see that the console ends; called from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(lambda: self._move([*self._watched]))

    def _move(self, tenants: Collection[str]) -> None:
        for tenant in self._watched.keys() & tenants:
            self._watched[tenant].move()
