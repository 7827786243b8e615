"""The first tables, and the triggers that keep what is kept for good."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

KEPT = (
    ("audit", "UPDATE"),
    ("audit", "DELETE"),
    ("files", "UPDATE"),
    ("collections", "DELETE"),
    ("heads", "DELETE"),
)
"""What no statement may do (TRUST 3.4, 3.5, 8.4)."""


def upgrade() -> None:
    _collections()
    _principals()
    _operator()
    if op.get_bind().dialect.name == "sqlite":
        for table, verb in KEPT:
            op.execute(
                f"CREATE TRIGGER keep_{table}_{verb.lower()} BEFORE {verb} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )


def _collections() -> None:
    op.create_table(
        "collections",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("gun", sa.String(512), nullable=False),
        sa.Column("repository", sa.String(255), nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_collections"),
        sa.UniqueConstraint("gun", name="uq_collections_gun"),
        sa.UniqueConstraint("repository", name="uq_collections_repository"),
    )
    op.create_table(
        "files",
        sa.Column("collection", sa.Integer, nullable=False),
        sa.Column("role", sa.String(255), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.Column("expires", sa.BigInteger, nullable=False),
        sa.Column("stored", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("collection", "role", "version", name="pk_files"),
        sa.ForeignKeyConstraint(["collection"], ["collections.id"], name="fk_files_collection"),
    )
    op.create_table(
        "heads",
        sa.Column("collection", sa.Integer, nullable=False),
        sa.Column("role", sa.String(255), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("expires", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("collection", "role", name="pk_heads"),
        sa.ForeignKeyConstraint(["collection"], ["collections.id"], name="fk_heads_collection"),
    )
    op.create_index("ix_heads_role_expires", "heads", ["role", "expires"])
    op.create_table(
        "online_keys",
        sa.Column("gun", sa.String(512), nullable=False),
        sa.Column("role", sa.String(255), nullable=False),
        sa.Column("key_id", sa.String(64), nullable=False),
        sa.Column("public", sa.Text, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("gun", "role", name="pk_online_keys"),
    )


def _principals() -> None:
    op.create_table(
        "principals",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("password_hash", sa.String(255), nullable=False),
        sa.Column("disabled", sa.Boolean, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_principals"),
        sa.UniqueConstraint("name", name="uq_principals_name"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "assignments",
        sa.Column("principal", sa.Integer, nullable=False),
        sa.Column("role", sa.String(32), nullable=False),
        sa.Column("pattern", sa.String(257), nullable=False),
        sa.PrimaryKeyConstraint("principal", "role", "pattern", name="pk_assignments"),
        sa.ForeignKeyConstraint(
            ["principal"], ["principals.id"], name="fk_assignments_principal", ondelete="CASCADE"
        ),
    )
    op.create_table(
        "refresh_tokens",
        sa.Column("token_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("principal", sa.Integer, nullable=False),
        sa.Column("service", sa.String(255), nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("expires", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("token_hash", name="pk_refresh_tokens"),
        sa.ForeignKeyConstraint(
            ["principal"], ["principals.id"], name="fk_refresh_tokens_principal", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_refresh_tokens_principal", "refresh_tokens", ["principal"])
    op.create_index("ix_refresh_tokens_expires", "refresh_tokens", ["expires"])


def _operator() -> None:
    op.create_table(
        "settings",
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_settings"),
    )
    op.create_table(
        "trust_only",
        sa.Column("pattern", sa.String(257), nullable=False),
        sa.Column("trust_only", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("pattern", name="pk_trust_only"),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.String(255), nullable=False),
        sa.Column("source", sa.String(255), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(512), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
        sqlite_autoincrement=True,
    )
