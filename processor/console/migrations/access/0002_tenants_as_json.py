"""The tenants of tokens and sessions as JSON: a list, or null for all of them."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_KEYS = {"tokens": "token_hash", "sessions": "session_hash"}


def upgrade() -> None:
    """Writes what was joined by line ends, with `*` for all of them, as JSON."""
    _rewrite(lambda stored: json.dumps(None if stored == "*" else stored.split("\n")))


def downgrade() -> None:
    """Joins them again."""
    _rewrite(lambda stored: "*" if stored == "null" else "\n".join(json.loads(stored)))


def _rewrite(written) -> None:  # type: ignore[no-untyped-def]
    connection = op.get_bind()
    for name, key in _KEYS.items():
        table = sa.table(name, sa.column(key), sa.column("tenants"))
        for hashed, stored in connection.execute(sa.select(table.c[key], table.c.tenants)).all():
            connection.execute(sa.update(table).where(table.c[key] == hashed).values(tenants=written(stored)))
