"""Files may be removed that another version has taken the place of, and no others."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

KEEP_NEEDED = """
CREATE TRIGGER keep_needed_files BEFORE DELETE ON files
WHEN OLD.role = 'root' OR NOT EXISTS (
    SELECT 1 FROM files AS newer
    WHERE newer.collection = OLD.collection AND newer.role = OLD.role AND newer.series = OLD.series
    AND newer.version > OLD.version
    AND (substr(newer.data, 1, 10) = CAST('{"signed":' AS BLOB))
        = (substr(OLD.data, 1, 10) = CAST('{"signed":' AS BLOB))
)
BEGIN SELECT RAISE(ABORT, 'files that are needed are append-only'); END
"""


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.get_bind().exec_driver_sql(KEEP_NEEDED)
