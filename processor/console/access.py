"""Who may do what: roles, bearer tokens, sessions and the audit trail.

Secrets are random 256-bit strings, so a plain SHA-256 of them is safe at rest. This store is not part of the read
model: it cannot be built again from the topics.
"""

import hashlib
import json
import secrets
import time
from enum import IntEnum
from typing import Final, NamedTuple

from sqlalchemy import Connection, Engine, delete, insert, select
from sqlalchemy.exc import IntegrityError

from processor.console.access_tables import AUDIT, METADATA, REQUESTS, SESSIONS, TOKENS
from processor.console.database import connect
from processor.console.queries import Page, page_of

COMMAND_LINE: Final = "command line"
"""Who adds and revokes tokens: somebody who may read the settings of the database."""

SESSION_MS: Final = 12 * 3_600_000
"""A working day: then a person signs in again."""


class Role(IntEnum):
    """Each role may do what the one before may, and more."""

    VIEWER = 1
    BILLING_ADMIN = 2
    OPERATOR = 3

    @property
    def label(self) -> str:
        """The name on the command line and in the database."""
        return self.name.lower().replace("_", "-")

    @classmethod
    def named(cls, label: str) -> "Role":
        """Reads `label` back. Raises `KeyError`."""
        return cls[label.upper().replace("-", "_")]


class Principal(NamedTuple):
    """Somebody who has signed in; `tenants` is None for all of them."""

    name: str
    role: Role
    tenants: frozenset[str] | None

    def sees(self, tenant: str) -> bool:
        """Tells whether the tenant is within scope."""
        return self.tenants is None or tenant in self.tenants


class Session(NamedTuple):
    """A signed-in browser and the secret that its forms must repeat."""

    principal: Principal
    csrf: str


def open_access(url: str) -> "Access":
    """Opens the store of tokens, sessions and audit entries. Raises `UnusableDatabaseError`."""
    return Access(connect(url, "access", METADATA))


class Access:
    """The store; every method is one transaction."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def close(self) -> None:
        """Gives the connections back."""
        self._engine.dispose()

    def add_token(self, principal: Principal, valid_days: int) -> str:
        """Makes a bearer token and returns it, the only time it is known in clear.

        Raises `ValueError` when there is one of that name.
        """
        token = f"cct_{secrets.token_urlsafe(32)}"
        row = {"token_hash": _hash(token), "expires_ms": now_ms() + valid_days * 86_400_000, **_stored(principal)}
        with self._engine.begin() as connection:
            if connection.scalar(select(TOKENS.c.name).where(TOKENS.c.name == principal.name)) is not None:
                raise ValueError(f"there is a token named {principal.name!r} already: revoke it first")
            connection.execute(insert(TOKENS).values(row))
            _note(connection, COMMAND_LINE, "", "token_added", details=_stored(principal))
        return token

    def revoke_token(self, name: str) -> bool:
        """Ends a token and every session of its name, also one without a token; False when there was neither."""
        with self._engine.begin() as connection:
            ended = [
                connection.execute(delete(each).where(each.c.name == name)).rowcount for each in (SESSIONS, TOKENS)
            ]
            if any(ended):
                _note(connection, COMMAND_LINE, "", "token_revoked", details={"name": name})
        return any(ended)

    def tokens(self) -> list[tuple[Principal, int]]:
        """Lists the tokens with the time at which each expires, without their secrets."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(TOKENS).order_by(TOKENS.c.name))
            return [(_principal(row.name, row.role, row.tenants), row.expires_ms) for row in rows]

    def holder(self, token: str) -> Principal | None:
        """Returns who holds a bearer token; None when it is unknown or has expired."""
        found = self._valid(token)
        return None if found is None else found[0]

    def exchange(self, token: str) -> str | None:
        """Opens a session for who holds a bearer token; it ends with the token. None as in `holder`."""
        found = self._valid(token)
        return None if found is None else self.open_session(*found)

    def _valid(self, token: str) -> tuple[Principal, int] | None:
        wanted = select(TOKENS).where(TOKENS.c.token_hash == _hash(token), TOKENS.c.expires_ms > now_ms())
        with self._engine.connect() as connection:
            row = connection.execute(wanted).first()
        return None if row is None else (_principal(row.name, row.role, row.tenants), row.expires_ms)

    def open_session(self, principal: Principal, until_ms: int | None = None) -> str:
        """Opens a session and returns the secret for its cookie; forgets sessions that have expired.

        It ends after `SESSION_MS`, or sooner at `until_ms`.
        """
        secret, now = secrets.token_urlsafe(32), now_ms()
        longest_ms = now + SESSION_MS
        row = {
            "session_hash": _hash(secret),
            "csrf": secrets.token_urlsafe(32),
            "expires_ms": longest_ms if until_ms is None else min(until_ms, longest_ms),
            **_stored(principal),
        }
        with self._engine.begin() as connection:
            connection.execute(delete(SESSIONS).where(SESSIONS.c.expires_ms <= now))
            connection.execute(insert(SESSIONS).values(row))
            _note(connection, principal.name, principal.role.label, "signed_in")
        return secret

    def session(self, secret: str) -> Session | None:
        """Returns the session of a cookie; None when it is unknown or has expired."""
        wanted = select(SESSIONS).where(SESSIONS.c.session_hash == _hash(secret), SESSIONS.c.expires_ms > now_ms())
        with self._engine.connect() as connection:
            row = connection.execute(wanted).first()
        return None if row is None else Session(_principal(row.name, row.role, row.tenants), row.csrf)

    def close_session(self, secret: str) -> None:
        """Ends a session."""
        wanted = SESSIONS.c.session_hash == _hash(secret)
        with self._engine.begin() as connection:
            if (row := connection.execute(select(SESSIONS).where(wanted)).first()) is not None:
                connection.execute(delete(SESSIONS).where(wanted))
                _note(connection, row.name, row.role, "signed_out")

    def request(self, who: Principal, tenant: str, action: str, command_id: str, details: str) -> bool:
        """Writes down that somebody asks for a change, before it is sent; a repetition is written down once.

        Returns False when the same id was used for another change.
        """
        fingerprint = hashlib.sha256(f"{tenant}\0{action}\0{details}".encode()).hexdigest()
        row = {"command_id": command_id, "tenant_id": tenant, "fingerprint": fingerprint, "at_ms": now_ms()}
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(REQUESTS).values(row))
                entry = {"tenant_id": tenant, "action": action, "command_id": command_id, "details": details}
                connection.execute(insert(AUDIT).values(_entry(who.name, who.role.label, **entry)))
        except IntegrityError:
            known = select(REQUESTS.c.fingerprint).where(REQUESTS.c.command_id == command_id)
            with self._engine.connect() as connection:
                return connection.scalar(known) == fingerprint
        return True

    def requested(self, tenant: str, command_id: str) -> bool:
        """Tells whether this console was asked for the command."""
        wanted = select(REQUESTS.c.at_ms).where(REQUESTS.c.command_id == command_id, REQUESTS.c.tenant_id == tenant)
        with self._engine.connect() as connection:
            return connection.scalar(wanted) is not None

    def failed(self, **details: str) -> None:
        """Writes down that somebody tried to sign in and did not get in."""
        with self._engine.begin() as connection:
            _note(connection, "", "", "sign_in_failed", details=details)

    def refused(self, who: Principal, tenant: str, **details: str) -> None:
        """Writes down that somebody asked for what their role does not allow."""
        with self._engine.begin() as connection:
            _note(connection, who.name, who.role.label, "refused", tenant, details)

    def audit(self, tenants: frozenset[str] | None, before: int | None, limit: int) -> Page:
        """Returns audit entries, newest first: those about some tenants, or all; `before` is a cursor."""
        newest = select(AUDIT).order_by(AUDIT.c.audit_id.desc()).limit(limit + 1)
        if tenants is not None:
            newest = newest.where(AUDIT.c.tenant_id.in_(tenants))
        if before is not None:
            newest = newest.where(AUDIT.c.audit_id < before)
        with self._engine.connect() as connection:
            return page_of([dict(row) for row in connection.execute(newest).mappings()], limit, "audit_id")

    def prune(self, before_ms: int) -> None:
        """Forgets what was asked for and written down before a time, and tokens and sessions that have expired."""
        with self._engine.begin() as connection:
            for table in (AUDIT, REQUESTS):
                connection.execute(delete(table).where(table.c.at_ms < before_ms))
            for table in (TOKENS, SESSIONS):
                connection.execute(delete(table).where(table.c.expires_ms <= now_ms()))


def now_ms() -> int:
    """The present time, UTC epoch milliseconds."""
    return time.time_ns() // 1_000_000


def _note(
    connection: Connection, actor: str, role: str, action: str, tenant: str = "", details: dict[str, str] | None = None
) -> None:
    written = json.dumps(details, sort_keys=True) if details else ""
    connection.execute(insert(AUDIT).values(_entry(actor, role, tenant_id=tenant, action=action, details=written)))


def _entry(actor: str, role: str, **columns: str) -> dict[str, str | int]:
    return {"at_ms": now_ms(), "actor": actor, "role": role, "command_id": "", **columns}


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _stored(principal: Principal) -> dict[str, str]:
    tenants = None if principal.tenants is None else sorted(principal.tenants)
    return {"name": principal.name, "role": principal.role.label, "tenants": json.dumps(tenants)}


def _principal(name: str, role: str, tenants: str) -> Principal:
    """Reads `_stored` back: JSON, because a tenant id may hold any character; null is all of them."""
    named = json.loads(tenants)
    return Principal(name, Role.named(role), None if named is None else frozenset(named))
