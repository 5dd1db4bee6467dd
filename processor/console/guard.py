"""What every request passes first: a limit on its body, and headers that keep other sites and scripts out."""

from http import HTTPStatus
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from processor.console.problems import ProblemError, answer

MAX_BODY_BYTES: Final = 65_536
"""A thousand licences fit; nothing that a person or a platform sends is larger."""

CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)

HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

TLS_ONLY: Final = {"Strict-Transport-Security": "max-age=31536000"}
"""Once reached by TLS, a browser asks no other way for a year."""

_TOO_LARGE: Final = ProblemError(
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "request_entity_too_large", f"A request has {MAX_BODY_BYTES} bytes at most"
)


class Guard:
    """Refuses large bodies as they arrive and adds the headers to every response."""

    def __init__(self, app: ASGIApp, *, tls: bool) -> None:
        self._app = app
        self._headers = {**HEADERS, **(TLS_ONLY if tls else {})}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        received = 0

        async def guarded_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        async def guarded_receive() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > MAX_BODY_BYTES:
                raise HTTPException(_TOO_LARGE.status, _TOO_LARGE.detail)  # the one that FastAPI lets through
            return message

        if _announced(scope) > MAX_BODY_BYTES:
            await answer(_TOO_LARGE)(scope, receive, guarded_send)
            return
        await self._app(scope, guarded_receive, guarded_send)


def _announced(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value[:20])
    return 0
