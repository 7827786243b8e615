"""Which root keys may found collections under a pattern (TRUST 3.8)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "founders",
        sa.Column("pattern", sa.String(257), nullable=False),
        sa.Column("root_key", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("pattern", "root_key", name="pk_founders"),
    )
