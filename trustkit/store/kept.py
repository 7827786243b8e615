"""What no statement may do, whoever sends it (TRUST 3.4, 3.5, 8.4); triggers in the database hold it.

On SQLite the migrations make the triggers; on PostgreSQL every upgrade makes all of them anew, from this list.
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


def postgres_triggers() -> list[str]:
    """The statements that make the triggers, whatever of them is there; TRUNCATE counts as what deletes."""
    made = [FUNCTION]
    for table, verb in KEPT:
        verbs = f"{verb} OR TRUNCATE" if verb == "DELETE" else verb
        name = f"keep_{table}_{verb.lower()}"
        made.append(f"DROP TRIGGER IF EXISTS {name} ON {table}")
        made.append(
            f"CREATE TRIGGER {name} BEFORE {verbs} ON {table} FOR EACH STATEMENT EXECUTE FUNCTION keep_for_good()"
        )
    return made
