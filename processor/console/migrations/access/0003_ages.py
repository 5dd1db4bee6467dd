"""Indexes by which old audit entries and requests are found and forgotten."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes them."""
    op.create_index("audit_by_age", "audit", ["at_ms"], unique=False)
    op.create_index("requests_by_age", "requests", ["at_ms"], unique=False)


def downgrade() -> None:
    """Drops them."""
    op.drop_index("requests_by_age", table_name="requests")
    op.drop_index("audit_by_age", table_name="audit")
