"""The tables of the access store. Times are UTC epoch milliseconds; secrets are there as hashes only."""

from typing import Final

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, String, Table, Text

METADATA: Final = MetaData()

TOKENS: Final = Table(
    "tokens",
    METADATA,
    Column("token_hash", String(64), primary_key=True),
    Column("name", String(128), nullable=False, unique=True),
    Column("role", String(16), nullable=False),
    Column("tenants", Text, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
)
SESSIONS: Final = Table(
    "sessions",
    METADATA,
    Column("session_hash", String(64), primary_key=True),
    Column("name", String(128), nullable=False),
    Column("role", String(16), nullable=False),
    Column("tenants", Text, nullable=False),
    Column("csrf", String(64), nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
)
REQUESTS: Final = Table(
    "requests",
    METADATA,
    Column("command_id", String(256), primary_key=True),
    Column("tenant_id", String(128), nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Index("requests_by_age", "at_ms"),
)
"""Commands that were asked for, so that none is asked for otherwise under the same key."""

AUDIT: Final = Table(
    "audit",
    METADATA,
    Column("audit_id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("actor", String(128), nullable=False),
    Column("role", String(16), nullable=False),
    Column("tenant_id", String(128), nullable=False),
    Column("action", String(64), nullable=False),
    Column("command_id", String(256), nullable=False),
    Column("details", Text, nullable=False),
    Index("audit_by_tenant", "tenant_id", "at_ms"),
    Index("audit_by_age", "at_ms"),
)
"""Who did what; `tenant_id`, `command_id` and, for strangers, `actor` are empty where there is none."""
