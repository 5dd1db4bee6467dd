"""Who calls the API, and the one tenant that a call is about: what nearly every route asks for first."""

from http import HTTPStatus
from typing import Annotated, NamedTuple

from fastapi import Depends, Path, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from processor.console.access import Principal, Role
from processor.console.problems import NOT_FOUND, ProblemError
from processor.console.queries import Document
from processor.console.state import State
from processor.console.tenants import tenant_of

_bearer = HTTPBearer(auto_error=False, description="A token made with `credits console token add`.")


async def state_of(request: Request) -> State:
    """Returns what the application was made with."""
    state: State = request.app.state.console
    return state


Shared = Annotated[State, Depends(state_of)]


Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


def caller(state: Shared, credentials: Credentials) -> Principal:
    """Finds out who calls. Problem 401 without a valid token."""
    holder = state.access.holder(credentials.credentials) if credentials is not None else None
    if holder is None:
        raise ProblemError(
            HTTPStatus.UNAUTHORIZED,
            "unauthorized",
            "Send a valid token: `Authorization: Bearer cct_…`. `credits console token add` makes one.",
            {"WWW-Authenticate": "Bearer"},
        )
    return holder


Caller = Annotated[Principal, Depends(caller)]
TenantPath = Annotated[str, Path(description="Tenant id, percent-encoded.", min_length=1, max_length=1536)]


class Scope(NamedTuple):
    """One tenant, and a caller who may see it."""

    tenant: str
    who: Principal
    state: State

    def known(self) -> Document:
        """Returns the account. Problem 404 when there is none."""
        account = self.state.queries.account(self.tenant)
        if account is None:
            raise NOT_FOUND
        return account

    @property
    def name(self) -> str:
        """Who asks."""
        return self.who.name

    @property
    def account(self) -> Document:
        """The account; empty before its first record."""
        return self.state.queries.account(self.tenant) or {}

    @property
    def currency(self) -> str:
        """The account's, or the default for one that does not exist yet."""
        return str(self.account.get("currency", self.state.default_currency))


def scope(tenant: TenantPath, who: Caller, state: Shared) -> Scope:
    """Checks that the caller may see the tenant. Problem 404 otherwise, whether it exists or not."""
    found = tenant_of(tenant)
    if found is None or not who.sees(found):
        raise NOT_FOUND
    return Scope(found, who, state)


Within = Annotated[Scope, Depends(scope)]


def require(within: Scope, role: Role) -> None:
    """Checks that the caller has a role. Problem 403 otherwise."""
    if within.who.role < role:
        within.state.access.refused(within.who, within.tenant, needs=role.label)
        said = f"This needs the role {role.label}; you have {within.who.role.label}. Ask an operator."
        raise ProblemError(HTTPStatus.FORBIDDEN, "forbidden", said)
