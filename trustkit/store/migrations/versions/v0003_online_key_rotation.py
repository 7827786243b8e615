"""Online keys that wait for a root to name them, collections that an Owner closed, and jumps after a recovery."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("collections", sa.Column("closed", sa.String(16), nullable=True))
    op.create_table(
        "pending_keys",
        sa.Column("gun", sa.String(512), nullable=False),
        sa.Column("role", sa.String(255), nullable=False),
        sa.Column("key_id", sa.String(64), nullable=False),
        sa.Column("public", sa.Text, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("gun", "role", name="pk_pending_keys"),
    )
    op.create_table(
        "jumps",
        sa.Column("collection", sa.Integer, nullable=False),
        sa.Column("role", sa.String(255), nullable=False),
        sa.Column("ceiling", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("collection", "role", name="pk_jumps"),
        sa.ForeignKeyConstraint(["collection"], ["collections.id"], name="fk_jumps_collection"),
    )
