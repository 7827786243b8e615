"""What holds in the database itself, whoever sends a statement; on PostgreSQL every upgrade makes it anew.

What is kept for good (TRUST 3.4, 3.5, 8.4) is kept by triggers, which the migrations make on SQLite.
"""

from __future__ import annotations

from trustkit.store.postgres.needed import KEEP_NEEDED

KEPT = (
    ("audit", "UPDATE"),
    ("audit", "DELETE"),
    ("files", "UPDATE"),
    ("collections", "DELETE"),
    ("heads", "DELETE"),
    ("changefeed", "UPDATE"),
    ("changefeed", "DELETE"),
)

FUNCTION = """
CREATE OR REPLACE FUNCTION keep_for_good() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$
"""


IN_ORDER = """
CREATE OR REPLACE FUNCTION one_after_the_other() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock({lock});
    RETURN NULL;
END $$
"""
"""Numbers are given to rows of the changefeed in the order in which they become visible: who asks what came after the
last one that it saw would miss the smaller number of a transaction that ends later."""

NOTES = """
CREATE UNLOGGED TABLE IF NOT EXISTS moves
    (xid xid8 NOT NULL DEFAULT pg_current_xact_id(), gun text, at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE INDEX IF NOT EXISTS moves_xid ON moves (xid);
CREATE OR REPLACE FUNCTION note_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_LEVEL = 'STATEMENT' OR TG_NARGS > 0 THEN
        INSERT INTO moves (gun) VALUES (NULL);
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO moves (gun) VALUES (OLD.gun);
    ELSE
        INSERT INTO moves (gun) VALUES (NEW.gun);
        IF TG_OP = 'UPDATE' AND OLD.gun <> NEW.gun THEN
            INSERT INTO moves (gun) VALUES (OLD.gun);
        END IF;
    END IF;
    RETURN NULL;
END $$
"""
"""A note of each change that a replica may remember something of; a crash empties the table, and breaks all lines."""
FAILURES = """
CREATE UNLOGGED TABLE IF NOT EXISTS failed_logins (key bytea PRIMARY KEY, until timestamptz NOT NULL);
CREATE INDEX IF NOT EXISTS failed_logins_until ON failed_logins (until);
"""
"""Until when failed logins count, at all replicas; a file of SQLite has one service, which remembers them."""
ENDING = "refresh_tokens"
"""A table of which a replica remembers what is there: a row that comes changes nothing, one that goes may do so."""
QUIET = frozenset({"alembic_version", "moves", "failed_logins", "audit", "changefeed", "files", "heads"})
"""Tables whose changes are in no replica's memory, or come with one of their collection."""

TABLES = """
SELECT c.relname, EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'gun'
    AND NOT a.attisdropped)
FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace ORDER BY 1
"""
"""Every table, and whether its rows say which collection they are of."""

COLUMNS = """
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod)
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_collation o ON o.oid = a.attcollation
WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace AND NOT a.attisdropped
AND a.attnum > 0 AND o.collname = 'default' ORDER BY 1, a.attnum
"""
"""Texts that would be sorted as people in some country do; all of ours sort by their bytes, as on SQLite."""


def triggers(changefeed_lock: int) -> list[str]:
    """The statements that make the triggers, whatever of them is there; TRUNCATE counts as what deletes."""
    made = [FUNCTION, IN_ORDER.format(lock=changefeed_lock)]
    for table, verb in KEPT:
        verbs = f"{verb} OR TRUNCATE" if verb == "DELETE" else verb
        name = f"keep_{table}_{verb.lower()}"
        made.append(f"DROP TRIGGER IF EXISTS {name} ON {table}")
        made.append(
            f"CREATE TRIGGER {name} BEFORE {verbs} ON {table} FOR EACH STATEMENT EXECUTE FUNCTION keep_for_good()"
        )
    made += KEEP_NEEDED
    made.append("DROP TRIGGER IF EXISTS in_order ON changefeed")
    made.append(
        "CREATE TRIGGER in_order BEFORE INSERT ON changefeed FOR EACH STATEMENT "
        "EXECUTE FUNCTION one_after_the_other()"
    )
    return made


def noted(table: str, *, of_collections: bool) -> list[str]:
    """The statements that have changes of a table noted: of which collection, or of anything."""
    anew = f'DROP TRIGGER IF EXISTS note_move ON "{table}"'
    if table == ENDING:
        made = f'CREATE TRIGGER note_move AFTER UPDATE OR DELETE ON "{table}" FOR EACH ROW'
        return [anew, f"{made} EXECUTE FUNCTION note_move('anything')"]
    level = "ROW" if of_collections else "STATEMENT"
    made = f'CREATE TRIGGER note_move AFTER INSERT OR UPDATE OR DELETE ON "{table}" FOR EACH {level}'
    return [anew, f"{made} EXECUTE FUNCTION note_move()"]


def sorted_by_bytes(table: str, column: str, kind: str) -> str:
    """The statement that has a column of this type sort by its bytes."""
    return f'ALTER TABLE "{table}" ALTER COLUMN "{column}" TYPE {kind} COLLATE "C"'
