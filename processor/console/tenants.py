"""Tenant ids in addresses: any text of 1 to 128 characters, percent-encoded, a slash included."""

from typing import Final
from urllib.parse import quote, unquote

from starlette.types import ASGIApp, Receive, Scope, Send

LONGEST: Final = 128


def tenant_of(segment: str) -> str | None:
    """Reads a tenant id from a segment of an address; None when it cannot be one."""
    try:
        tenant = unquote(segment, errors="strict")
    except UnicodeDecodeError:
        return None
    return tenant if 0 < len(tenant) <= LONGEST and "\0" not in tenant else None


def segment_of(tenant: str) -> str:
    """Writes a tenant id as one segment of an address."""
    return quote(tenant, safe="")


class EncodedPaths:
    """Routes by the address as it was sent: decoded first, a tenant id with a slash would be two segments."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on."""
        if scope["type"] == "http" and scope.get("raw_path"):
            scope["path"] = scope["raw_path"].decode("ascii", "replace")
        await self._app(scope, receive, send)
