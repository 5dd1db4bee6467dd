"""What goes wrong, as `application/problem+json` (RFC 9457): a stable code, a title, and what to do next."""

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as DatabaseTimeoutError
from starlette.exceptions import HTTPException

_LOG: Final = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"


CODES: Final = {
    "unauthorized": "401: there is no bearer token, or it is unknown or has expired.",
    "forbidden": "403: the token's role is too small for this change.",
    "not_found": "404: it does not exist, or belongs to a tenant that the token may not see.",
    "method_not_allowed": "405: the address is right, the method is not.",
    "bad_request": "400: the body cannot be read at all.",
    "request_entity_too_large": "413: the body has more than 65,536 bytes.",
    "invalid_request": "422: a field, parameter or header is not as described; `errors` names each place.",
    "key_reused": "422: this `Idempotency-Key` was used for another change. Use a new one.",
    "not_stored": "503: Kafka did not answer; the change may be made all the same. Repeat it with the same key.",
    "database_unavailable": "503: the console's database does not answer. Try again after `Retry-After`.",
    "internal_error": "500: a fault of the console, which its log explains.",
    "signed_out": "Pages only, 303 to the sign-in: there is no session, or it has ended.",
    "csrf": "Pages only, 403: the form did not come from this console, or is from an earlier session.",
    "oidc_unreachable": "Sign-in only, 503: the provider does not answer, or not as OpenID Connect says.",
    "oidc_wrong_issuer": "Sign-in only, 502: the provider's description names another issuer than the setting.",
    "oidc_state": "Sign-in only, 400: begun in another browser or more than ten minutes ago.",
    "oidc_token": "Sign-in only, 502: the ID token is missing, not for this console, badly signed or too old.",
    "oidc_refused": "Sign-in only, 403: the provider refused.",
    "oidc_no_name": "Sign-in only, 403: the claim of the name is missing.",
    "oidc_no_role": "Sign-in only, 403: no value of the role claim has a role here.",
    "oidc_no_tenant": "Sign-in only, 403: the claim of the tenants is missing.",
    "oidc_no_logout": "Signing out only, 404: the provider has no page for it.",
}
"""What `type` of a problem ends with, but for the meter's own reasons to reject a command."""


class ProblemDetails(BaseModel):
    """The body of every answer that is no success."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[dict[str, Any]] = []


class ProblemError(Exception):
    """Ends a request with a problem; `code` is stable, `detail` is a sentence for a person."""

    def __init__(self, status: HTTPStatus, code: str, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = headers


NOT_FOUND: Final = ProblemError(
    HTTPStatus.NOT_FOUND, "not_found", "There is nothing here that you may see. Check the address, or ask an operator."
)
"""The same for what does not exist and for what belongs to somebody else, so that nobody can probe for tenants."""


def answer(problem: ProblemError, errors: list[dict[str, Any]] | None = None) -> Response:
    """Builds the response to a problem."""
    body = ProblemDetails(
        type=f"urn:communication-credits:problem:{problem.code}",
        title=problem.status.phrase,
        status=problem.status,
        detail=problem.detail,
        errors=errors or [],
    )
    return JSONResponse(body.model_dump(), problem.status, problem.headers, media_type=MEDIA_TYPE)


def described(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """Returns what makes the application's OpenAPI document, with problems under the media type that they have."""
    made = app.openapi

    def describe() -> dict[str, Any]:
        document = made()
        for operations in document["paths"].values():
            for operation in operations.values():
                for status, response in operation["responses"].items():
                    if status >= "400":
                        content = response["content"]
                        response["content"] = {MEDIA_TYPE: content.get("application/json", content.get(MEDIA_TYPE))}
        return document

    return describe


def register(app: FastAPI, page: Callable[[Request, ProblemError], Response]) -> None:
    """Makes every error of the application a problem: as JSON from the API or when asked for, by `page` else."""

    def respond(request: Request, problem: ProblemError, errors: list[dict[str, Any]] | None = None) -> Response:
        as_json = request.url.path.startswith("/v1") or MEDIA_TYPE in request.headers.get("accept", "")
        return answer(problem, errors) if as_json else page(request, problem)

    @app.exception_handler(ProblemError)
    async def problem(request: Request, error: ProblemError) -> Response:
        return respond(request, error)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        errors = [{"at": list(fault["loc"]), "problem": fault["msg"]} for fault in error.errors()]
        said = "The request does not have the form that is expected here; the API's `errors` names each place."
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        return respond(request, ProblemError(status, "invalid_request", said), jsonable_encoder(errors))

    async def unavailable(request: Request, error: Exception) -> Response:
        _LOG.error("the database does not answer: %s %s", request.method, request.url.path, exc_info=error)
        said = "The console's database does not answer just now. Try again in a moment."
        status, wait = HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "5"}
        return respond(request, ProblemError(status, "database_unavailable", said, wait))

    for kind in (OperationalError, InterfaceError, DatabaseTimeoutError):
        app.add_exception_handler(kind, unavailable)

    @app.exception_handler(Exception)  # Starlette answers with it and raises the error again, so the server logs it
    async def internal(request: Request, error: Exception) -> Response:
        del error
        said = "Something is wrong with the console itself. Its log says what; tell whoever runs it."
        return respond(request, ProblemError(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", said))

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> Response:
        status = HTTPStatus(error.status_code)
        headers = dict(error.headers or {})
        return respond(request, ProblemError(status, status.name.lower(), f"{error.detail}.", headers))
