"""A stand-in for Microsoft Graph and its token service on the loopback, which behaves as their pages say."""

import re
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import msgspec

_CALL: Final = re.compile(
    r"/v1\.0/communications/callRecords/(\w+)\(fromDateTime=([^,]+),toDateTime=([^)]+)\)"
).fullmatch
SECRET: Final = "s3cret"  # noqa: S105 - of the stub


class Answer(msgspec.Struct):
    """What is answered instead of the usual, once."""

    status: int
    headers: dict[str, str] = {}
    body: bytes = b'{"error": {"code": "TooManyRequests", "message": "not to be shown"}}'


class GraphStub:
    """Holds rows by function; `answers` are given first, once each; `asked` is what came."""

    def __init__(self, page_size: int = 2) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = {"getPstnCalls": [], "getDirectRoutingCalls": []}
        self.answers: deque[Answer] = deque()
        self.token_lives_s = 3600
        self.asked: list[str] = []
        self.tokens_given = 0
        self.next_host = ""
        self._page_size = page_size
        self.url = ""

    @property
    def settings(self) -> dict[str, str]:
        """The settings that lead a command here, but for the file with the secret."""
        return {
            "CREDITS_GRAPH_URL": f"{self.url}/v1.0",
            "CREDITS_GRAPH_LOGIN_URL": self.url,
            "CREDITS_GRAPH_TENANT_ID": "directory",
            "CREDITS_GRAPH_CLIENT_ID": "application",
        }

    def token(self, form: dict[str, list[str]]) -> Answer:
        expected = {
            "grant_type": ["client_credentials"],
            "client_id": ["application"],
            "client_secret": [SECRET],
            "scope": [f"{self.url}/.default"],
        }
        if form != expected:
            return Answer(401, body=b'{"error": "invalid_client", "error_description": "AADSTS7000215: s3cret"}')
        self.tokens_given += 1
        body = {"token_type": "Bearer", "expires_in": self.token_lives_s, "access_token": f"token-{self.tokens_given}"}
        return Answer(200, body=msgspec.json.encode(body))

    def page(self, target: str, authorization: str | None) -> Answer:
        self.asked.append(target)
        if self.answers:
            return self.answers.popleft()
        if authorization != f"Bearer token-{self.tokens_given}":
            return Answer(401, body=b'{"error": {"code": "InvalidAuthenticationToken"}}')
        parts = urlsplit(target)
        found = _CALL(parts.path)
        if found is None:
            return Answer(404, body=b'{"error": {"code": "BadRequest"}}')
        begin, end = (datetime.fromisoformat(found[group]) for group in (2, 3))
        inclusive = found[1] == "getPstnCalls"
        rows = [
            row
            for row in self.rows[found[1]]
            if begin <= (start := datetime.fromisoformat(row["startDateTime"])) < end or (inclusive and start == end)
        ]
        skip = int(parse_qs(parts.query).get("$skip", ["0"])[0])
        document: dict[str, Any] = {"@odata.context": "…", "value": rows[skip : skip + self._page_size]}
        if len(rows) > skip + self._page_size:
            base = self.next_host or self.url
            document["@odata.nextLink"] = f"{base}{parts.path}?$skip={skip + self._page_size}"
        return Answer(200, body=msgspec.json.encode(document))


@contextmanager
def running(stub: GraphStub) -> Iterator[GraphStub]:
    """Serves the stub on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._say(stub.page(self.path, self.headers["Authorization"]))

        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            right = self.path == "/directory/oauth2/v2.0/token"
            self._say(stub.token(form) if right else Answer(404, body=b'{"error": "not_found"}'))

        def _say(self, answer: Answer) -> None:
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    stub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
