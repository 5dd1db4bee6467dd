"""The minutes of users who share no pool."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the table; it fills from the beginning of `user.pools.v1`."""
    op.create_table(
        "user_pools",
        sa.Column("tenant_id", sa.String(length=128), nullable=False),
        sa.Column("user_id", sa.String(length=256), nullable=False),
        sa.Column("month", sa.String(length=7), nullable=False),
        sa.Column("used_minutes", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "user_id"),
    )
    op.create_index("user_pools_by_age", "user_pools", ["month"], unique=False)
    op.create_index("user_pools_by_use", "user_pools", ["tenant_id", "month", "used_minutes"], unique=False)


def downgrade() -> None:
    """Drops it, and forgets how far its topic was read."""
    op.drop_index("user_pools_by_use", table_name="user_pools")
    op.drop_index("user_pools_by_age", table_name="user_pools")
    op.drop_table("user_pools")
    op.execute("DELETE FROM offsets WHERE topic = 'user.pools.v1'")
