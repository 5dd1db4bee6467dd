"""The web application: the API, the pages and their guards, put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import anyio.to_thread
from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from starlette.types import ASGIApp

from processor.console import api, pages, problems
from processor.console.guard import Guard
from processor.console.state import State
from processor.console.tenants import EncodedPaths

STATIC: Final = Path(__file__).with_name("static")
THREADS: Final = 16
"""As many as there are database connections: one more would only wait for one."""


def create_app(state: State) -> ASGIApp:
    """Builds the application; run one per process."""

    @asynccontextmanager
    async def life(_app: FastAPI) -> AsyncIterator[None]:
        state.signal.bind()
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        yield

    app = FastAPI(
        title="Communication Credits",
        version="1",
        summary="Accounts, ledger and commands of the prepaid meter.",
        openapi_url="/v1/openapi.json",
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        lifespan=life,
    )
    app.state.console = state
    problems.register(app, pages.error_page)
    app.include_router(api.router)
    app.include_router(pages.router, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=STATIC))
    return Guard(EncodedPaths(app))
