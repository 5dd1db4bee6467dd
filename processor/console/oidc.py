"""Signs people in with an OpenID Connect provider: authorization code with PKCE, state and nonce, by Authlib.

What the browser must bring back from the provider is in a signed cookie of ten minutes (Starlette's sessions). The
person's name, role and tenants come from claims; a person without a role or without a tenant does not get in.
"""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, NamedTuple

import httpx2
from authlib.integrations.base_client import MismatchingStateError, OAuthError
from authlib.integrations.starlette_client import OAuth
from fastapi import Request
from fastapi.responses import Response
from joserfc.errors import JoseError

from processor.console.access import Principal, Role
from processor.console.problems import ProblemError
from processor.console.said import PROBLEMS

NAME_PREFIX: Final = "oidc:"
"""Marks the names of people who came from the provider, so that none is taken for the holder of a token."""
LONGEST_NAME: Final = 120
ALL_TENANTS: Final = "*"
TIMEOUT_S: Final = 10.0
LEEWAY_S: Final = 30
"""How far the provider's clock may be from ours."""
ENDPOINTS: Final = frozenset({"authorization_endpoint", "token_endpoint", "jwks_uri"})
SIGNATURES: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Those made with the provider's private key: whoever knows the client's secret could forge the others."""

_LOG: Final = logging.getLogger(__name__)


class Provider(NamedTuple):
    """Who signs people in, and how their claims are read; see `CREDITS_CONSOLE_OIDC_…` in the settings."""

    issuer: str
    client_id: str
    client_secret: str
    title: str
    scopes: str
    name_claim: str
    role_claim: str
    roles: Mapping[str, str]
    tenants_claim: str


class Oidc:
    """One provider; `base` is the address of this console as browsers know it."""

    def __init__(self, provider: Provider, base: str) -> None:
        self._provider = provider
        self._callback = f"{base}/login/oidc/callback"
        self._login = f"{base}/login"
        self._known: Any = None

    @property
    def title(self) -> str:
        """The provider's name on the sign-in page."""
        return self._provider.title

    async def begin(self, request: Request) -> Response:
        """Returns the redirect to the provider. Raises `ProblemError`."""
        client = await self._client()
        redirect: Response = await client.authorize_redirect(request, self._callback)
        return redirect

    async def finish(self, request: Request) -> Principal:
        """Exchanges the code that the provider sent along and returns who signed in. Raises `ProblemError`."""
        client = await self._client()
        audience = {"essential": True, "values": [self._provider.client_id]}
        wanted = {"iss": {"essential": True, "values": [self._provider.issuer]}, "aud": audience}
        try:
            token = await client.authorize_access_token(request, claims_options=wanted, leeway=LEEWAY_S)
            claims = token.get("userinfo")
            if claims is None:
                raise _problem(HTTPStatus.BAD_GATEWAY, "oidc_token", "there is no ID token")
            claims = await self._complete(client, token, claims)
        except MismatchingStateError as error:
            raise _problem(HTTPStatus.BAD_REQUEST, "oidc_state", error) from error
        except OAuthError as error:
            raise _problem(HTTPStatus.FORBIDDEN, "oidc_refused", error) from error
        except JoseError as error:
            raise _problem(HTTPStatus.BAD_GATEWAY, "oidc_token", error) from error
        except (httpx2.HTTPError, ValueError) as error:
            self._known = None
            raise _unreachable(error) from error
        return principal_of(claims, self._provider)

    async def leave(self, request: Request) -> Response:
        """Returns the redirect to the provider's page for signing out. Raises `ProblemError`."""
        client = await self._client()
        if "end_session_endpoint" not in client.server_metadata:
            raise _problem(HTTPStatus.NOT_FOUND, "oidc_no_logout", "no end_session_endpoint")
        redirect: Response = await client.logout_redirect(request, self._login, client_id=self._provider.client_id)
        return redirect

    async def _client(self) -> Any:
        """Returns Authlib's client with the provider's own description, read once and again after a failure."""
        if self._known is None:
            provider = self._provider
            client = OAuth().register(
                "provider",
                client_id=provider.client_id,
                client_secret=provider.client_secret or None,
                server_metadata_url=f"{provider.issuer.rstrip('/')}/.well-known/openid-configuration",
                client_kwargs={
                    "scope": provider.scopes,
                    "code_challenge_method": "S256",
                    "timeout": TIMEOUT_S,
                    **({} if provider.client_secret else {"token_endpoint_auth_method": "none"}),
                },
            )
            try:
                described = await client.load_server_metadata()
            except (httpx2.HTTPError, ValueError, TypeError) as error:
                raise _unreachable(error) from error
            if described.get("issuer") != provider.issuer:
                raise _problem(HTTPStatus.BAD_GATEWAY, "oidc_wrong_issuer", f"it says {described.get('issuer')}")
            if not described.keys() >= ENDPOINTS:
                raise _unreachable(f"its description lacks one of {sorted(ENDPOINTS)}")
            offered = described.get("id_token_signing_alg_values_supported", ["RS256"])
            described["id_token_signing_alg_values_supported"] = [name for name in offered if name in SIGNATURES]
            self._known = client
        return self._known

    async def _complete(self, client: Any, token: Any, claims: Mapping[str, Any]) -> Mapping[str, Any]:
        """Adds what only the provider's userinfo endpoint tells, where the token leaves something out."""
        provider = self._provider
        needed = {provider.name_claim, provider.role_claim, provider.tenants_claim}
        if needed <= claims.keys() or "userinfo_endpoint" not in client.server_metadata:
            return claims
        told = await client.userinfo(token=token)
        if told.get("sub") != claims["sub"]:  # OpenID Connect Core 5.3.2: it must be about the same person
            raise _problem(HTTPStatus.BAD_GATEWAY, "oidc_token", "userinfo is about somebody else")
        return {**told, **claims}


def principal_of(claims: Mapping[str, Any], provider: Provider) -> Principal:
    """Reads who somebody is from claims: the highest of their roles, the tenants by name or `*` for all.

    Raises `ProblemError` when a claim that is needed is missing or of no use.
    """
    name = claims.get(provider.name_claim)
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
        raise _problem(HTTPStatus.FORBIDDEN, "oidc_no_name", f"claim {provider.name_claim}")
    roles = [
        Role.named(provider.roles[value]) for value in _texts(claims, provider.role_claim) if value in provider.roles
    ]
    if not roles:
        raise _problem(HTTPStatus.FORBIDDEN, "oidc_no_role", f"claim {provider.role_claim} of {name}")
    tenants = frozenset(_texts(claims, provider.tenants_claim))
    if not tenants:
        raise _problem(HTTPStatus.FORBIDDEN, "oidc_no_tenant", f"claim {provider.tenants_claim} of {name}")
    return Principal(f"{NAME_PREFIX}{name}", max(roles), None if ALL_TENANTS in tenants else tenants)


def _texts(claims: Mapping[str, Any], name: str) -> list[str]:
    """Returns a claim that is a text or a list of them; nothing else counts."""
    value = claims.get(name)
    return [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str) and each]


def _problem(status: HTTPStatus, code: str, cause: object, headers: dict[str, str] | None = None) -> ProblemError:
    """Makes the problem for the person, and tells the operator what caused it."""
    _LOG.warning("sign-in failed: %s: %r", code, str(cause))
    return ProblemError(status, code, PROBLEMS[code], headers)


def _unreachable(cause: object) -> ProblemError:
    return _problem(HTTPStatus.SERVICE_UNAVAILABLE, "oidc_unreachable", cause, {"Retry-After": "30"})
