"""Signing in and out: with a token or the printed link, or with the OpenID Connect provider when there is one."""

from asyncio import to_thread
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from processor.console.oidc import NAME_PREFIX
from processor.console.problems import NOT_FOUND, ProblemError
from processor.console.reader import COOKIE, Checked, from_here, remember
from processor.console.rendering import Language, render
from processor.console.scope import Shared
from processor.console.state import State

OIDC: Final = "/login/oidc"

router = APIRouter()


@router.get("/login")
def login_page(
    request: Request,
    state: Shared,
    language: Language,
    token: Annotated[str, Query(max_length=256)] = "",
    left: Annotated[str, Query(max_length=8)] = "",
) -> Response:
    """Asks for a token, or for a click when the printed link brought one: a preview of the link uses nothing up."""
    return _page(request, state, language, token=token, left=bool(left))


@router.post("/login")
def login(
    request: Request, state: Shared, language: Language, token: Annotated[str, Form(max_length=256)] = ""
) -> Response:
    """Opens a session."""
    if not from_here(request):
        raise ProblemError(HTTPStatus.FORBIDDEN, "csrf", "Sign in on this console's own page.")
    address = request.client.host if request.client else ""
    if not state.signin.limit.allows(address):
        return _page(request, state, language, 429, failed="too_many")
    secret = state.signin.session(token.strip())
    if secret is None:
        state.access.failed(address=address)
        return _page(request, state, language, 401, failed="unknown")
    state.signin.limit.forgive(address)
    return remember(RedirectResponse("/", HTTPStatus.SEE_OTHER), secret, state)


@router.get(OIDC)
async def oidc_begin(request: Request, state: Shared) -> Response:
    """Sends the browser to the provider."""
    if state.oidc is None:
        raise NOT_FOUND
    return await state.oidc.begin(request)


@router.get(f"{OIDC}/callback")
async def oidc_finish(request: Request, state: Shared) -> Response:
    """Takes the browser back from the provider and opens a session."""
    if state.oidc is None:
        raise NOT_FOUND
    try:
        principal = await state.oidc.finish(request)
    except ProblemError as problem:
        await to_thread(state.access.failed, problem=problem.code)
        raise
    return remember(RedirectResponse("/", HTTPStatus.SEE_OTHER), state.access.open_session(principal), state)


@router.get(f"{OIDC}/logout")
async def oidc_leave(request: Request, state: Shared) -> Response:
    """Sends the browser to the provider's own page for signing out."""
    if state.oidc is None:
        raise NOT_FOUND
    return await state.oidc.leave(request)


@router.post("/logout")
def logout(read: Checked, state: Shared) -> Response:
    """Ends the session; the provider's own may last, so who came from there is asked whether to end it, too."""
    state.access.close_session(read.secret)
    came_from_provider = state.oidc is not None and read.session.principal.name.startswith(NAME_PREFIX)
    answer = RedirectResponse("/login?left=oidc" if came_from_provider else "/login", HTTPStatus.SEE_OTHER)
    answer.delete_cookie(COOKIE)
    return answer


def _page(
    request: Request,
    state: State,
    language: str,
    status: int = 200,
    *,
    token: str = "",
    left: bool = False,
    failed: str | None = None,
) -> Response:
    provider = None if state.oidc is None else state.oidc.title
    values = {"token": token, "left": left, "failed": failed, "provider": provider, "oidc": OIDC}
    return render(request, language, "login.html", status, **values)
