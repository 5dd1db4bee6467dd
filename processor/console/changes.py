"""Tells the requests that wait that the read model has moved on: from the follower's thread to the event loop."""

import asyncio


class ChangeSignal:
    """Counts commits of the read model; `wait` returns when there has been one more."""

    def __init__(self) -> None:
        self.count = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._moved = asyncio.Event()

    def bind(self) -> None:
        """Makes the running loop the one in which others wait."""
        self._loop = asyncio.get_running_loop()

    def stored(self) -> None:
        """Announces a commit; called from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._move)

    async def wait(self, seen: int, timeout_s: float) -> None:
        """Returns when `count` is beyond `seen`, or when the time is over."""
        try:
            async with asyncio.timeout(timeout_s):
                while self.count == seen:
                    await self._moved.wait()
        except TimeoutError:
            return

    def _move(self) -> None:
        self.count += 1
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()
