"""Proposals that wait for signatures, and what dropped ones have used up."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "proposals",
        sa.Column("gun", sa.String(512), nullable=False),
        sa.Column("id", sa.String(16), nullable=False),
        sa.Column("opened", sa.BigInteger, nullable=False),
        sa.Column("opened_by", sa.String(128), nullable=False),
        sa.PrimaryKeyConstraint("gun", "id", name="pk_proposals"),
    )
    op.create_table(
        "proposed_files",
        sa.Column("gun", sa.String(512), nullable=False),
        sa.Column("role", sa.String(255), nullable=False),
        sa.Column("proposal", sa.String(16), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("gun", "role", name="pk_proposed_files"),
    )
    op.create_table(
        "consumed_versions",
        sa.Column("gun", sa.String(512), nullable=False),
        sa.Column("role", sa.String(255), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("gun", "role", name="pk_consumed_versions"),
    )
    op.create_table(
        "dropped_payloads",
        sa.Column("gun", sa.String(512), nullable=False),
        sa.Column("role", sa.String(255), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("gun", "role", "version", "digest", name="pk_dropped_payloads"),
    )
