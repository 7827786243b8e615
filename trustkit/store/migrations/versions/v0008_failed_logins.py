"""Failed logins that replicas count together: a table of PostgreSQL alone, which each upgrade there makes."""

from __future__ import annotations

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing here: ``store.postgres.kept`` makes what only PostgreSQL has."""
