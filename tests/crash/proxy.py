"""A TCP proxy that a test can cut, or let swallow whatever it is given as a broken network does."""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from typing import Any

from processor.embedded.broker import HOST, free_port


class Proxy:
    """Listens on `port` and forwards to `target`, in a thread of its own."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.target = free_port(besides=port)
        self.bootstrap = f"{HOST}:{port}"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._open: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._server: asyncio.Server | None = None

    def __enter__(self) -> "Proxy":
        self._thread.start()
        self.mend()
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """Closes all connections and refuses others."""
        self._run(self._cut())

    def swallow(self) -> None:
        """Lets connections stand and others be made, but nothing comes through any more."""
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def mend(self) -> None:
        """Forwards again; what was swallowed comes late, as over a network that stood still."""
        self._run(self._mend())

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def _cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._open:
            writer.transport.abort()

    async def _end(self) -> None:
        await self._cut()
        self._flowing.set()
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)

    async def _mend(self) -> None:
        self._flowing.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, HOST, self.port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        with contextlib.suppress(OSError):
            there, back = await asyncio.open_connection(HOST, self.target)
            self._open.add(back)
            await asyncio.gather(self._forward(reader, back), self._forward(there, writer))
            self._open.discard(back)
        writer.transport.abort()
        self._open.discard(writer)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while some := await reader.read(1 << 16):
                await self._flowing.wait()
                writer.write(some)
                await writer.drain()
        writer.transport.abort()
