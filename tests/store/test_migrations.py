"""Migrations add: a replica of the version before goes on while, and after, the tables are upgraded."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect

SHARED_SINCE = "0007"
"""Before this revision no database was shared by replicas."""
TAKES_AWAY: dict[str, str] = {}
"""By revision that takes something away, the oldest revision that may still serve; it writes ``schema-oldest``."""


class Shape(NamedTuple):
    """A table's columns; and those that a row needn't say."""

    columns: frozenset[str]
    optional: frozenset[str]


def revisions() -> list[str]:
    config = Config()
    config.set_main_option("script_location", "trustkit.store:migrations")
    config.set_main_option("path_separator", "os")
    return [each.revision for each in reversed(list(ScriptDirectory.from_config(config).walk_revisions()))]


def shapes(path: Path) -> Iterator[tuple[str, dict[str, Shape]]]:
    """What each revision makes of the one before, from no tables on."""
    config = Config()
    config.set_main_option("script_location", "trustkit.store:migrations")
    config.set_main_option("path_separator", "os")
    engine = create_engine(f"sqlite:///{path}")
    for revision in revisions():
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
        looked = inspect(engine)
        yield revision, {table: _shape(looked.get_columns(table)) for table in looked.get_table_names()}
    engine.dispose()


def _shape(columns: list) -> Shape:
    optional = {each["name"] for each in columns if each["nullable"] or each["default"] is not None}
    return Shape(frozenset(each["name"] for each in columns), frozenset(optional))


def lacks(before: dict[str, Shape], after: dict[str, Shape]) -> list[str]:
    """What a program that knows the tables as they were misses in them as they are."""
    found = [f"no table {table}" for table in before.keys() - after.keys()]
    for table in before.keys() & after.keys():
        old, new = before[table], after[table]
        found += [f"no {table}.{name}" for name in old.columns - new.columns]
        found += [f"{table}.{name} has to be said" for name in new.columns - old.columns - new.optional]
        found += [f"{table}.{name} has to be said now" for name in old.optional & new.columns - new.optional]
    return sorted(found)


def test_no_migration_takes_away_what_the_version_before_uses(tmp_path: Path) -> None:
    before: dict[str, Shape] = {}
    for revision, after in shapes(tmp_path / "trustkit.db"):
        if revision > SHARED_SINCE and revision not in TAKES_AWAY:
            assert lacks(before, after) == [], revision
        before = after


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("DROP TABLE b", ["no table b"]),
        ("ALTER TABLE a DROP COLUMN y", ["no a.y"]),
        ("ALTER TABLE a RENAME COLUMN y TO z", ["a.z has to be said", "no a.y"]),
        ("ALTER TABLE a ADD COLUMN z INTEGER NOT NULL DEFAULT 0", []),
        ("ALTER TABLE a ADD COLUMN z INTEGER", []),
        ("CREATE TABLE c (x INTEGER NOT NULL)", []),
    ],
)
def test_what_would_be_taken_away_is_seen(tmp_path: Path, statement: str, words: list[str]) -> None:
    path = tmp_path / "x.db"
    engine = create_engine(f"sqlite:///{path}")
    seen = []
    for text in ("CREATE TABLE a (x INTEGER NOT NULL, y INTEGER NOT NULL); CREATE TABLE b (x INTEGER)", statement):
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(text)
        looked = inspect(engine)
        seen.append({table: _shape(looked.get_columns(table)) for table in looked.get_table_names()})
    assert lacks(*seen) == words
    engine.dispose()
