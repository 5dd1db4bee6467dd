"""One port of a process: `/metrics` for Prometheus, `/live` and `/ready` for the orchestrator."""

from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from threading import Thread
from typing import TYPE_CHECKING, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from processor.observability.health import Check

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

PLAIN: Final = (("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store"))


class _Server(ThreadingMixIn, WSGIServer):
    """One thread per request, so a slow scrape does not hold up a probe."""

    daemon_threads = True


class _SilentHandler(WSGIRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - its name in the base class
        """Probes and scrapes are not worth a line each."""


def application(
    registry: CollectorRegistry, live: Check, ready: Check
) -> Callable[["WSGIEnvironment", "StartResponse"], Iterable[bytes]]:
    """Returns the WSGI application; a check that finds something wrong is answered with 503 and the reason."""
    metrics = make_wsgi_app(registry)
    checks = {"/live": live, "/ready": ready}

    def answer(environment: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        path = environment["PATH_INFO"]
        if path == "/metrics":
            page: Iterable[bytes] = metrics(environment, start)
            return page
        if path not in checks:
            start("404 Not Found", [*PLAIN])
            return [b"there are /metrics, /live and /ready\n"]
        wrong = checks[path]()
        start("503 Service Unavailable" if wrong else "200 OK", [*PLAIN])  # the server adds the length to the list
        return [f"{wrong or 'ok'}\n".encode()]

    return answer


def serve(port: int, registry: CollectorRegistry, live: Check, ready: Check) -> None:
    """Serves on all interfaces until the process ends; raises `OSError` when the port is taken."""
    server = make_server("", port, application(registry, live, ready), _Server, _SilentHandler)
    Thread(target=server.serve_forever, name="http", daemon=True).start()
