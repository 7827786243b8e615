"""Collections in format docker: files found by their hash, versions that begin anew, and the changefeed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("collections", sa.Column("format", sa.String(16), nullable=False, server_default="tuf"))
    op.add_column("heads", sa.Column("series", sa.Integer, nullable=False, server_default="0"))
    with op.batch_alter_table("files", recreate="always" if _sqlite() else "auto") as files:
        files.add_column(sa.Column("series", sa.Integer, nullable=False, server_default="0"))
        files.add_column(sa.Column("sha256", sa.String(64), nullable=True))
        files.drop_constraint("pk_files", type_="primary")
        files.create_primary_key("pk_files", ["collection", "role", "series", "version"])
    op.create_index("ix_files_sha256", "files", ["sha256"])
    op.create_table(
        "changefeed",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("gun", sa.String(512), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("category", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_changefeed"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_changefeed_gun", "changefeed", ["gun"])
    if _sqlite():
        _keep("files", "UPDATE")  # its trigger went with the table that was copied
        _keep("changefeed", "UPDATE")
        _keep("changefeed", "DELETE")


def _sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


def _keep(table: str, verb: str) -> None:
    """No statement may do this; as in the first revision."""
    op.execute(
        f"CREATE TRIGGER keep_{table}_{verb.lower()} BEFORE {verb} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
    )
