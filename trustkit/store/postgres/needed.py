"""Which files may not be removed, held by the database itself; the migrations say the same to SQLite."""

from __future__ import annotations

KEEP_NEEDED = (
    """
CREATE OR REPLACE FUNCTION keep_needed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.role = 'root' OR NOT EXISTS (
        SELECT 1 FROM files newer
        WHERE newer.collection = OLD.collection AND newer.role = OLD.role AND newer.series = OLD.series
        AND newer.version > OLD.version
        AND (substr(newer.data, 1, 10) = '{"signed":'::bytea) = (substr(OLD.data, 1, 10) = '{"signed":'::bytea)
    ) THEN
        RAISE EXCEPTION 'files that are needed are append-only' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN OLD;
END $$
""",
    "DROP TRIGGER IF EXISTS keep_needed_files ON files",
    "CREATE TRIGGER keep_needed_files BEFORE DELETE ON files FOR EACH ROW EXECUTE FUNCTION keep_needed()",
    "DROP TRIGGER IF EXISTS keep_all_files ON files",
    "CREATE TRIGGER keep_all_files BEFORE TRUNCATE ON files FOR EACH STATEMENT EXECUTE FUNCTION keep_for_good()",
)
"""A root is for good, and so is the last version of a role, in each series and in each format (TRUST 3.4): whatever
else goes, one that was used is never free again."""
