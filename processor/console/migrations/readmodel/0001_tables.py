"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the tables."""
    op.create_table(
        "accounts",
        sa.Column("tenant_id", sa.String(length=128), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("balance_micros", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id"),
    )
    op.create_table(
        "daily",
        sa.Column("tenant_id", sa.String(length=128), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("country", sa.String(length=2), nullable=False),
        sa.Column("entries", sa.BigInteger(), nullable=False),
        sa.Column("amount_micros", sa.BigInteger(), nullable=False),
        sa.Column("credit_seconds", sa.BigInteger(), nullable=False),
        sa.Column("pool_minutes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "day", "kind", "country"),
    )
    op.create_table(
        "entries",
        sa.Column("tenant_id", sa.String(length=128), nullable=False),
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("decision", sa.String(length=16), nullable=False),
        sa.Column("country", sa.String(length=2), nullable=False),
        sa.Column("occurred_ms", sa.BigInteger(), nullable=False),
        sa.Column("recorded_ms", sa.BigInteger(), nullable=False),
        sa.Column("amount_micros", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "revision"),
    )
    op.create_index("entries_by_age", "entries", ["recorded_ms"], unique=False)
    op.create_table(
        "notices",
        sa.Column("tenant_id", sa.String(length=128), nullable=False),
        sa.Column("notice_id", sa.String(length=512), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "notice_id"),
    )
    op.create_index("notices_by_age", "notices", ["at_ms"], unique=False)
    op.create_index("notices_by_time", "notices", ["tenant_id", "at_ms"], unique=False)
    op.create_table(
        "offsets",
        sa.Column("topic", sa.String(length=64), nullable=False),
        sa.Column("partition", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("next_offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("topic", "partition"),
    )
    op.create_table(
        "origin", sa.Column("cluster_id", sa.String(length=64), nullable=False), sa.PrimaryKeyConstraint("cluster_id")
    )
    op.create_table(
        "outcomes",
        sa.Column("tenant_id", sa.String(length=128), nullable=False),
        sa.Column("command_id", sa.String(length=256), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=True),
        sa.Column("revision", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "command_id"),
    )


def downgrade() -> None:
    """Drops them."""
    op.drop_table("outcomes")
    op.drop_table("origin")
    op.drop_table("offsets")
    op.drop_index("notices_by_time", table_name="notices")
    op.drop_index("notices_by_age", table_name="notices")
    op.drop_table("notices")
    op.drop_index("entries_by_age", table_name="entries")
    op.drop_table("entries")
    op.drop_table("daily")
    op.drop_table("accounts")
