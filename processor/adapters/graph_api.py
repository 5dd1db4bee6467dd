"""Pulls call logs from Microsoft Graph over HTTP: token, pages, and patience when asked for it.

The one module of the package that is not pure; it returns rows as text, `graph` converts them. Sources:
learn.microsoft.com/graph/api/callrecords-callrecord-getpstncalls and -getdirectroutingcalls, …/graph/throttling,
…/entra/identity-platform/v2-oauth2-client-creds-grant-flow.
"""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, Literal, TypeVar, get_args

import httpx
import msgspec
from msgspec import Struct

Log = Literal["pstn", "direct-routing"]
LOGS: Final[tuple[Log, ...]] = get_args(Log)
FUNCTIONS: Final[dict[Log, str]] = {"pstn": "getPstnCalls", "direct-routing": "getDirectRoutingCalls"}

ATTEMPTS: Final = 8
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0
LONGEST_RETRY_AFTER_S: Final = 3600.0
TOKEN_MARGIN_S: Final = 300.0
"""A token is renewed so long before its end: a page and its retries fit in."""
TIMEOUT_S: Final = 60.0

PATIENCE: Final = frozenset({429, 500, 502, 503, 504})
"""Answers that ask to come again."""
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class GraphError(Exception):
    """The API refused, or did not answer in time; the message tells a person what to do and holds no secret."""


class Stopped(Exception):  # noqa: N818 - somebody asked for it
    """The wait for a next attempt was ended from outside."""


class Access(Struct, frozen=True, kw_only=True):
    """Where the API is and who asks: an application with CallRecord-PstnCalls.Read.All, by client credentials.

    Raises `ValueError` for an address that would send the secret in the clear.
    """

    directory_id: str
    client_id: str
    client_secret: str
    graph_url: str = "https://graph.microsoft.com/v1.0"
    login_url: str = "https://login.microsoftonline.com"

    def __post_init__(self) -> None:
        for address in (self.graph_url, self.login_url):
            url = httpx.URL(address)
            if url.scheme != "https" and url.host not in LOOPBACK:
                raise ValueError(f"{address} is not https: the secret would travel in the clear")


Answer = TypeVar("Answer")


class _Token(Struct):
    access_token: str
    expires_in: int


class _Page(Struct):
    """`@odata.nextLink` leads to the next page; the documentation of direct routing also spells it with a capital."""

    value: list[msgspec.Raw]
    next_link: str | None = msgspec.field(default=None, name="@odata.nextLink")
    next_link_too: str | None = msgspec.field(default=None, name="@odata.NextLink")


class GraphApi:
    """A client of the call records API.

    `pause` waits that many seconds and returns True when it was told to stop instead: then `Stopped` is raised.
    `clock` counts seconds, steadily.
    """

    def __init__(
        self,
        access: Access,
        pause: Callable[[float], bool],
        *,
        client: httpx.Client | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._access, self._pause, self._clock = access, pause, clock
        self._client = client or httpx.Client(timeout=TIMEOUT_S)
        self._base = httpx.URL(access.graph_url.rstrip("/"))
        self._token: str | None = None
        self._token_ends = 0.0

    def pages(self, log: Log, start: datetime, end: datetime) -> Iterator[list[str]]:
        """Yields the rows of calls that started between `start` and `end`, page by page, at most 90 days.

        Both ends are included for `pstn`, the second is not for `direct-routing`. Raises `GraphError`, `Stopped`.
        """
        span = f"fromDateTime={_stamp(start)},toDateTime={_stamp(end)}"
        url: httpx.URL | None = httpx.URL(f"{self._base}/communications/callRecords/{FUNCTIONS[log]}({span})")
        while url is not None:
            page = self._decode(self._get(url), _Page, "a page of rows")
            yield [bytes(row).decode() for row in page.value]
            url = self._following(page, url)

    def _following(self, page: _Page, url: httpx.URL) -> httpx.URL | None:
        link = page.next_link or page.next_link_too
        if link is None:
            return None
        following = httpx.URL(link)
        ours = (self._base.scheme, self._base.host, self._base.port)
        if (following.scheme, following.host, following.port) != ours:
            raise GraphError("the next page is said to be on another host: the token is not sent there")
        if following == url:
            raise GraphError("the next page is said to be this one")
        return following

    def _get(self, url: httpx.URL) -> httpx.Response:
        renewed = False
        while True:
            token = self._access_token()
            request = self._client.build_request("GET", url, headers={"Authorization": f"Bearer {token}"})
            response = self._patiently(request)
            if response.status_code == 401 and not renewed:
                self._token, renewed = None, True  # revoked before its time
                continue
            if response.is_success:
                return response
            raise GraphError(f"Microsoft Graph refused: {_refusal(response)}. {_remedy(response.status_code)}")

    def _access_token(self) -> str:
        if self._token is None or self._clock() >= self._token_ends:
            access = self._access
            request = self._client.build_request(
                "POST",
                f"{access.login_url.rstrip('/')}/{access.directory_id}/oauth2/v2.0/token",
                data={
                    "grant_type": "client_credentials",
                    "client_id": access.client_id,
                    "client_secret": access.client_secret,
                    "scope": f"{self._base.scheme}://{self._base.netloc.decode()}/.default",
                },
            )
            response = self._patiently(request)
            if not response.is_success:
                raise GraphError(
                    f"no token for the application: {_refusal(response)}. Check CREDITS_GRAPH_TENANT_ID,"
                    " CREDITS_GRAPH_CLIENT_ID and the secret, which may have expired"
                )
            token = self._decode(response, _Token, "a token")
            self._token = token.access_token
            self._token_ends = self._clock() + max(token.expires_in - TOKEN_MARGIN_S, 0.0)
        return self._token

    def _patiently(self, request: httpx.Request) -> httpx.Response:
        """Sends until there is an answer other than "later"."""
        said = ""
        for attempt in range(ATTEMPTS):
            pause_s = min(FIRST_PAUSE_S * 2**attempt, LONGEST_PAUSE_S)
            try:
                response = self._client.send(request)
            except httpx.TransportError as error:
                said = f"{request.url.host} does not answer ({type(error).__name__})"
            else:
                if response.status_code not in PATIENCE:
                    return response
                said = f"{request.url.host} answers {response.status_code}"
                pause_s = _retry_after_s(response, pause_s)
            if attempt + 1 < ATTEMPTS and self._pause(pause_s):
                raise Stopped
        raise GraphError(f"{said}, after {ATTEMPTS} attempts: try again later")

    @staticmethod
    def _decode(response: httpx.Response, kind: type[Answer], what: str) -> Answer:
        try:
            return msgspec.json.decode(response.content, type=kind)
        except (msgspec.DecodeError, UnicodeError):
            raise GraphError(f"{response.url.host} did not answer with {what}: is the address right?") from None


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _retry_after_s(response: httpx.Response, otherwise_s: float) -> float:
    """Reads `Retry-After`: seconds, or a date as HTTP writes it."""
    told = response.headers.get("Retry-After", "").strip()
    if told.isascii() and told.isdecimal():
        return min(float(told[:9]), LONGEST_RETRY_AFTER_S)
    try:
        until = parsedate_to_datetime(told)
    except ValueError:
        return otherwise_s
    left_s = (until - datetime.now(until.tzinfo)).total_seconds()
    return min(max(left_s, 0.0), LONGEST_RETRY_AFTER_S)


def _refusal(response: httpx.Response) -> str:
    """Names the status and the error's code; descriptions may repeat what was sent."""
    try:
        error = msgspec.json.decode(response.content, type=dict[str, object]).get("error")
    except (msgspec.DecodeError, UnicodeError):
        error = None
    code = error.get("code") if isinstance(error, dict) else error
    return f"{response.status_code} {code}" if isinstance(code, str) else str(response.status_code)


def _remedy(status: int) -> str:
    if status in (401, 403):
        return "The application needs the permission CallRecord-PstnCalls.Read.All with an administrator's consent"
    return "Check CREDITS_GRAPH_URL and the time range"
