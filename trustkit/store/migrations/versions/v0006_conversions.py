"""Collections that were converted from format docker to tuf: the side that is left, and the keys of both."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "former",
        sa.Column("gun", sa.String(512), nullable=False),
        sa.Column("collection", sa.Integer, nullable=False),
        sa.Column("converted", sa.BigInteger, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
        sa.Column("ended", sa.BigInteger, nullable=True),
        sa.Column("reason", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("gun", name="pk_former"),
        sa.UniqueConstraint("collection", name="uq_former_collection"),
        sa.ForeignKeyConstraint(["collection"], ["collections.id"], name="fk_former_collection"),
    )
    for table in ("former_keys", "coming_keys"):
        op.create_table(
            table,
            sa.Column("gun", sa.String(512), nullable=False),
            sa.Column("role", sa.String(255), nullable=False),
            sa.Column("key_id", sa.String(64), nullable=False),
            sa.Column("public", sa.Text, nullable=False),
            sa.Column("sealed", sa.LargeBinary, nullable=False),
            sa.Column("created", sa.BigInteger, nullable=False),
            sa.PrimaryKeyConstraint("gun", "role", name=f"pk_{table}"),
        )
