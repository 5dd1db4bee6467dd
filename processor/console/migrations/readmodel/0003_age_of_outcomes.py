"""When an outcome was stored, so that old ones are forgotten."""

import time

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the time; what is there counts as stored now."""
    now_ms = str(int(time.time() * 1000))
    with op.batch_alter_table("outcomes") as table:
        table.add_column(sa.Column("stored_ms", sa.BigInteger(), nullable=False, server_default=now_ms))
    with op.batch_alter_table("outcomes") as table:
        table.alter_column("stored_ms", server_default=None)
    op.create_index("outcomes_by_age", "outcomes", ["stored_ms"], unique=False)


def downgrade() -> None:
    """Drops it."""
    op.drop_index("outcomes_by_age", table_name="outcomes")
    with op.batch_alter_table("outcomes") as table:
        table.drop_column("stored_ms")
