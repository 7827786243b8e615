"""What holds in the database itself, whoever sends a statement; on PostgreSQL every upgrade makes it anew.

What is kept for good (TRUST 3.4, 3.5, 8.4) is kept by triggers, which the migrations make on SQLite.
"""

from __future__ import annotations

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
    made.append("DROP TRIGGER IF EXISTS in_order ON changefeed")
    made.append(
        "CREATE TRIGGER in_order BEFORE INSERT ON changefeed FOR EACH STATEMENT "
        "EXECUTE FUNCTION one_after_the_other()"
    )
    return made


def sorted_by_bytes(table: str, column: str, kind: str) -> str:
    """The statement that has a column of this type sort by its bytes."""
    return f'ALTER TABLE "{table}" ALTER COLUMN "{column}" TYPE {kind} COLLATE "C"'
