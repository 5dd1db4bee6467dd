"""Who looks at a page: a session's cookie, and for a form the secret that it repeats."""

import secrets
from http import HTTPStatus
from typing import Annotated, Any, Final, NamedTuple

from fastapi import Cookie, Depends, Form, Request
from fastapi.responses import HTMLResponse, Response

from processor.console.access import SESSION_MS, Session
from processor.console.problems import NOT_FOUND, ProblemError
from processor.console.rendering import Language, render
from processor.console.scope import Scope, Shared
from processor.console.state import State
from processor.console.tenants import tenant_of

COOKIE: Final = "credits_session"


class Reader(NamedTuple):
    """Somebody with a session, and the language of the page."""

    request: Request
    session: Session
    secret: str
    language: str

    def render(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """Fills in a template."""
        return render(self.request, self.language, template, status, session=self.session, **values)


def remember(answer: Response, secret: str, state: State) -> Response:
    """Puts the secret of a session into the browser's cookie."""
    answer.set_cookie(
        COOKIE, secret, max_age=SESSION_MS // 1000, httponly=True, samesite="lax", secure=state.secure_cookies
    )
    return answer


def from_here(request: Request) -> bool:
    """Tells whether a page of this console, or a person, sent the request; browsers say so."""
    return request.headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")


def reader(
    request: Request, state: Shared, language: Language, credits_session: Annotated[str | None, Cookie()] = None
) -> Reader:
    """Finds the session of the cookie. Redirects to the sign-in page when there is none."""
    session = state.access.session(credits_session) if credits_session else None
    if session is None or credits_session is None:
        raise ProblemError(HTTPStatus.UNAUTHORIZED, "signed_out", "Sign in first.")
    return Reader(request, session, credits_session, language)


Read = Annotated[Reader, Depends(reader)]


def checked(read: Read, csrf: Annotated[str, Form(max_length=128)] = "") -> Reader:
    """Makes sure that a form was sent from one of our pages. Problem 403 otherwise."""
    if not from_here(read.request) or not secrets.compare_digest(csrf.encode(), read.session.csrf.encode()):
        detail = "The form did not come from this console, or is from an earlier session: open the page again."
        raise ProblemError(HTTPStatus.FORBIDDEN, "csrf", detail)
    return read


Checked = Annotated[Reader, Depends(checked)]


def within(read: Read, state: Shared, tenant: str) -> Scope:
    """Checks that the reader may see the tenant. Problem 404 otherwise."""
    found = tenant_of(tenant)
    if found is None or not read.session.principal.sees(found):
        raise NOT_FOUND
    return Scope(found, read.session.principal, state)


Within = Annotated[Scope, Depends(within)]
