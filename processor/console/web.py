"""The web application: the API, the pages and their guards, put together."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import anyio.to_thread
from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from starlette.middleware.sessions import SessionMiddleware
from starlette.types import ASGIApp

from processor.console import api, forms, login, pages, problems, rendering
from processor.console.guard import Guard
from processor.console.state import State
from processor.console.tenants import EncodedPaths

STATIC: Final = Path(__file__).with_name("static")
THREADS: Final = 16
"""As many as there are database connections: one more would only wait for one."""
SIGN_IN_S: Final = 600
"""How long somebody may take at the OpenID Connect provider."""


def create_app(state: State) -> ASGIApp:
    """Builds the application; run one per process."""

    @asynccontextmanager
    async def life(_app: FastAPI) -> AsyncIterator[None]:
        state.signal.bind()
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        watching = asyncio.create_task(state.rates.watch(lambda _tariff: None))
        yield
        watching.cancel()

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
    problems.register(app, rendering.error_page)
    app.include_router(api.router)
    for router in (pages.router, forms.router, login.router):
        app.include_router(router, include_in_schema=False)
    app.openapi = problems.described(app)  # type: ignore[method-assign]
    if state.oidc is not None:
        app.add_middleware(
            SessionMiddleware,
            secret_key=secrets.token_hex(32),  # a sign-in that is under way when the console restarts begins again
            session_cookie="credits_oidc",
            max_age=SIGN_IN_S,
            path=login.OIDC,
            https_only=state.secure_cookies,
        )
    app.mount("/static", StaticFiles(directory=STATIC))
    return Guard(EncodedPaths(app), tls=state.secure_cookies)
