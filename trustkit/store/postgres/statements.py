"""Core statements on a connection of psycopg: SQLAlchemy writes the SQL, psycopg asks, nothing waits in a thread.

Measured with a publish's statements from eight tasks on two cores: SQLAlchemy in threads, 185 transactions a second;
its asynchronous engine, 270; this, 710.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import AsyncConnection, AsyncPipeline
from sqlalchemy import Executable
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from trustkit.store.compiled import Compiler, Values
from trustkit.store.postgres.foreign import mapped
from trustkit.store.postgres.session import Patience, deadline
from trustkit.store.statements import Answer


def compiler() -> Compiler:
    """Of the statements of a server's database."""
    dialect: Any = PGDialect_psycopg  # SQLAlchemy has no types for it
    return Compiler(dialect())


class PostgresStatements:
    """``Statements`` on one connection, in a transaction that somebody else begins and ends."""

    def __init__(self, connection: AsyncConnection[Any], compiler: Compiler, patience: Patience) -> None:
        self._connection = connection
        self._compiler = compiler
        self._patience = patience
        self._known: dict[Any, Answer] = {}

    async def ahead(self, asked: Sequence[tuple[Executable, Values]]) -> None:
        """As ``Statements``; with a libpq before 14, which can't, each is asked when it is wanted."""
        if not AsyncPipeline.is_supported():
            return
        compiled = [(self._compiler(statement, values), values) for statement, values in asked]
        cursors = [self._connection.cursor() for _ in asked]
        with mapped(), deadline(self._connection, self._patience.answer):
            async with self._connection.pipeline():
                for cursor, (each, values) in zip(cursors, compiled, strict=True):
                    await cursor.execute(each.text.encode(), each.values(values))
            for (statement, values), cursor, (each, _) in zip(asked, cursors, compiled, strict=True):
                self._known[_key(statement, values)] = Answer(each.rows(await cursor.fetchall()), cursor.rowcount)

    async def run(
        self, statement: Executable, values: Values | Sequence[Values] | None = None, *, scans: bool = False
    ) -> Answer:
        """As ``Statements``; raises DatabaseUnavailable where no answer comes."""
        given: Sequence[Values] = [values or {}] if values is None or isinstance(values, Mapping) else values
        if not given:
            return Answer((), 0)
        compiled, patience = self._compiler(statement, given[0]), self._patience
        if compiled.row is None:
            self._known.clear()
        elif self._known and (known := self._known.get(_key(statement, given[0]))) is not None:
            return known
        with mapped(), deadline(self._connection, patience.scan if scans else patience.answer):
            async with self._connection.cursor() as cursor:
                if len(given) > 1:
                    await cursor.executemany(compiled.text.encode(), [compiled.values(each) for each in given])
                    return Answer((), cursor.rowcount)
                await cursor.execute(compiled.text.encode(), compiled.values(given[0]))
                if cursor.description is None:
                    return Answer((), cursor.rowcount)
                return Answer(compiled.rows(await cursor.fetchall()), cursor.rowcount)


def _key(statement: Executable, values: Values) -> Any:
    listed = ((name, tuple(value) if isinstance(value, list) else value) for name, value in values.items())
    return statement, frozenset(listed)
