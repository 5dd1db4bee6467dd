"""Runs the console: one thread follows the topics, the event loop serves the API and the pages."""

import gc
import socket
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import uvicorn
from starlette.types import ASGIApp

from processor.console.access import open_access
from processor.console.changes import ChangeSignal
from processor.console.commands import Commands, KafkaSink
from processor.console.follower import Follower
from processor.console.oidc import Oidc, Provider
from processor.console.queries import Queries
from processor.console.readmodel import ReadModel, open_readmodel
from processor.console.signin import OneTimeLink, SignIn
from processor.console.state import Rates, State
from processor.console.web import create_app

SWITCH_INTERVAL_S: Final = 0.0005
"""How long the follower may keep the interpreter from a request while it catches up (Python's default: 5 ms)."""
COLLECT_AFTER: Final = (20_000, 10, 100)
"""Objects, and collections of younger ones, before the collector runs: a batch of the follower is no reason to."""
GRACE_S: Final = 3


class AddressUnusableError(Exception):
    """Nothing can listen there; the message says why."""


class Options(NamedTuple):
    """What `credits console` was asked for. Databases are SQLAlchemy URLs; the two may be the same PostgreSQL."""

    host: str
    port: int
    readmodel_url: str
    access_url: str
    retention_days: int
    rebuild: bool
    default_currency: str
    public_url: str | None
    trusted_proxies: str
    provider: Provider | None


def is_local(host: str) -> bool:
    """Tells whether only this machine can reach an address."""
    return host in ("127.0.0.1", "::1", "localhost")


def database_urls(given: str | None, directory: Path) -> tuple[str, str]:
    """Returns where the read model and the access store are: two SQLite files unless a database is given."""
    if given is not None:
        return given, given
    directory.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{directory / 'console.sqlite'}", f"sqlite:///{directory / 'access.sqlite'}"


def run(conf: dict[str, Any], options: Options, rates: Rates, say: Callable[[str], None]) -> None:
    """Serves until a signal. Whatever ends the follower ends the console, and is raised here.

    `conf` is librdkafka's configuration; `say` gets the link that signs in.
    Raises `AddressUnusableError`, `UnusableDatabaseError` and what `Follower.run` raises.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.collect()
    gc.freeze()  # what is there now stays: walking it again would hold up every request for some 80 ms
    gc.set_threshold(*COLLECT_AFTER)
    with _listen(options.host, options.port) as listening:
        _serve(conf, options, rates, say, listening)


def _serve(
    conf: dict[str, Any], options: Options, rates: Rates, say: Callable[[str], None], listening: socket.socket
) -> None:
    engine = open_readmodel(options.readmodel_url)
    model = ReadModel(engine)
    if options.rebuild:
        model.clear()
    clock = partial(datetime.now, UTC)
    access, queries, signal = open_access(options.access_url), Queries(engine), ChangeSignal()
    follower = Follower(conf, model, options.retention_days, signal.stored, access.prune)
    base = (options.public_url or f"http://{options.host}:{options.port}").rstrip("/")
    link = OneTimeLink(lambda token: say(f"{base}/login?token={token}")) if is_local(options.host) else None
    state = State(
        queries=queries,
        access=access,
        commands=Commands(KafkaSink(conf), access, queries, signal, clock),
        signal=signal,
        signin=SignIn(access, link),
        oidc=Oidc(options.provider, base) if options.provider is not None else None,
        lag=follower.lag,
        rates=rates,
        default_currency=options.default_currency,
        secure_cookies=base.startswith("https:"),
        closing=threading.Event(),
        clock=clock,
    )
    server = _Server(
        http_config(create_app(state), options.host, options.port, options.trusted_proxies),
        state,
        lambda: link.renew() if link is not None else say(base),
    )
    failures: list[BaseException] = []

    def follow() -> None:
        try:
            follower.run()
        except BaseException as error:  # noqa: BLE001 - raised again below, in the thread that people look at
            failures.append(error)
            server.should_exit = True

    thread = threading.Thread(target=follow, name="follower")
    thread.start()
    try:
        server.run(sockets=[listening])
    finally:
        follower.stop()
        thread.join()
        engine.dispose()
        access.close()
    if failures:
        raise failures[0]


def http_config(app: ASGIApp, host: str, port: int, trusted_proxies: str, grace_s: int = GRACE_S) -> uvicorn.Config:
    """Says how the application is served; only `trusted_proxies` may say who the client is and that it came by TLS."""
    return uvicorn.Config(
        app,
        host,
        port,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=trusted_proxies,
        timeout_graceful_shutdown=grace_s,
    )


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        said = f"cannot listen on {host} port {port} ({error.strerror}): choose another with --host or --port"
        raise AddressUnusableError(said) from error


class _Server(uvicorn.Server):
    """Says when it listens, and ends the streams that would otherwise outlast the shutdown."""

    def __init__(self, config: uvicorn.Config, state: State, listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._state = state
        self._listening = listening

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._listening()

    async def shutdown(self, sockets: Any = None) -> None:
        self._state.closing.set()
        self._state.signal.wake()
        await super().shutdown(sockets)
