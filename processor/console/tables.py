"""The tables of the read model: what the topics say, arranged for questions.

Times are UTC epoch milliseconds, money is micros, days are ISO dates in UTC. `document` columns hold the record's own
JSON, so a field that the meter adds reaches the API without a migration.
"""

from typing import Final

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, String, Table, Text

METADATA: Final = MetaData()

ACCOUNTS: Final = Table(
    "accounts",
    METADATA,
    Column("tenant_id", String(128), primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("balance_micros", BigInteger, nullable=False),
    Column("document", Text, nullable=False),
)
"""The last committed state of each account."""

USER_POOLS: Final = Table(
    "user_pools",
    METADATA,
    Column("tenant_id", String(128), primary_key=True),
    Column("user_id", String(256), primary_key=True),
    Column("month", String(7), nullable=False),
    Column("used_minutes", BigInteger, nullable=False),
    Column("document", Text, nullable=False),
    Index("user_pools_by_use", "tenant_id", "month", "used_minutes"),
    Index("user_pools_by_age", "month"),
)
"""The last committed minutes of each user who shares no pool; `month` is the newest, with what is used of it."""

ENTRIES: Final = Table(
    "entries",
    METADATA,
    Column("tenant_id", String(128), primary_key=True),
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", String(16), nullable=False),
    Column("decision", String(16), nullable=False),
    Column("country", String(2), nullable=False),
    Column("occurred_ms", BigInteger, nullable=False),
    Column("recorded_ms", BigInteger, nullable=False),
    Column("amount_micros", BigInteger, nullable=False),
    Column("document", Text, nullable=False),
    Index("entries_by_age", "recorded_ms"),
)
"""Ledger entries within the retention; `decision` and `country` are empty where there was no usage."""

DAILY: Final = Table(
    "daily",
    METADATA,
    Column("tenant_id", String(128), primary_key=True),
    Column("day", String(10), primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("country", String(2), primary_key=True),
    Column("entries", BigInteger, nullable=False),
    Column("amount_micros", BigInteger, nullable=False),
    Column("credit_seconds", BigInteger, nullable=False),
    Column("pool_minutes", BigInteger, nullable=False),
)
"""Sums of the ledger by day of the event; they outlive the entries."""

NOTICES: Final = Table(
    "notices",
    METADATA,
    Column("tenant_id", String(128), primary_key=True),
    Column("notice_id", String(512), primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("document", Text, nullable=False),
    Index("notices_by_time", "tenant_id", "at_ms"),
    Index("notices_by_age", "at_ms"),
)
"""What people were told."""

OUTCOMES: Final = Table(
    "outcomes",
    METADATA,
    Column("tenant_id", String(128), primary_key=True),
    Column("command_id", String(256), primary_key=True),
    Column("status", String(16), nullable=False),
    Column("reason", String(64)),
    Column("revision", BigInteger),
    Column("stored_ms", BigInteger, nullable=False),
    Index("outcomes_by_age", "stored_ms"),
)
"""What became of account commands: `applied`, with the ledger entry where there is one, or `rejected` and why."""

OFFSETS: Final = Table(
    "offsets",
    METADATA,
    Column("topic", String(64), primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("next_offset", BigInteger, nullable=False),
)
"""Where to read on: changed in the transaction that stores the records before it."""

ORIGIN: Final = Table("origin", METADATA, Column("cluster_id", String(64), primary_key=True))
"""The Kafka cluster whose topics the offsets are about."""
