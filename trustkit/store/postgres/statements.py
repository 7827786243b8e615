"""Core statements on a connection of psycopg: SQLAlchemy writes the SQL, psycopg asks, nothing waits in a thread.

Measured with a publish's statements from eight tasks on two cores: SQLAlchemy in threads, 185 transactions a second;
its asynchronous engine, 270; this, 710.
"""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from psycopg import AsyncConnection
from sqlalchemy import Executable, Select, TypeDecorator
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.sql.visitors import cloned_traverse

from trustkit.store.postgres.foreign import mapped
from trustkit.store.postgres.session import Patience, deadline
from trustkit.store.statements import Answer

Values = Mapping[str, Any]
Convert = Callable[[Any], Any]
KEPT = 256


@dataclass(frozen=True, slots=True)
class Compiled:
    """A statement as it goes to the server.

    Attributes:
        fixed: the values that are part of the statement itself, by parameter.
        into: what makes a value of ours one of the server's, by parameter; of those that need it.
        out: what makes a value of the server's one of ours, by column's place; of those that need it.
        spread: which place of which list a parameter is, of a statement that takes lists as long as they come.
        row: makes a row of a select's values, found by the names of their columns; None for other statements.
    """

    text: bytes
    fixed: Values
    into: Mapping[str, Convert]
    out: tuple[tuple[int, Convert], ...]
    spread: Mapping[str, tuple[str, int]]
    row: Callable[[Sequence[Any]], Any] | None

    def values(self, given: Values) -> dict[str, Any]:
        """All parameters."""
        found = {**self.fixed, **given}
        for name, (whole, place) in self.spread.items():
            found[name] = given[whole][place]
        for name, convert in self.into.items():
            if name in found:
                found[name] = convert(found[name])
        return found

    def rows(self, found: Sequence[tuple[Any, ...]]) -> Sequence[Any]:
        """What a select gave."""
        if self.row is None:
            return ()
        return [self.row(self._converted(each) if self.out else each) for each in found]

    def _converted(self, values: tuple[Any, ...]) -> list[Any]:
        converted = list(values)
        for place, convert in self.out:
            converted[place] = convert(converted[place])
        return converted


class Compiler:
    """Compiles, and keeps what was compiled last: the statements of a use case are the same ones each time."""

    def __init__(self) -> None:
        self._dialect: Any = PGDialect_psycopg()  # type: ignore[no-untyped-call]  # SQLAlchemy has no types for it
        self._kept: OrderedDict[tuple[Executable, tuple[tuple[str, int | None], ...]], Compiled] = OrderedDict()

    def __call__(self, statement: Executable, values: Values) -> Compiled:
        """The statement for values with these names, and for lists as long as these."""
        names = tuple((name, _length(values[name])) for name in sorted(values))
        found = self._kept.get((statement, names))
        if found is None:
            found = self._kept[statement, names] = self._compile(statement, dict(names))
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return found

    def _compile(self, statement: Executable, names: Mapping[str, int | None]) -> Compiled:
        element: Any = statement  # each is a ClauseElement, too, of which its type says nothing
        columns: list[Any] = list(element.selected_columns) if isinstance(element, Select) else []
        keys = None if columns else list(names) or None
        lists = {
            name: [_Place(name, at) for at in range(length)] for name, length in names.items() if length is not None
        }
        if lists:
            element = cloned_traverse(element, {}, {"bindparam": partial(_filled, {**dict.fromkeys(names), **lists})})
        done = element.compile(dialect=self._dialect, column_keys=keys, compile_kwargs={"render_postcompile": True})
        binds: Mapping[str, Any] = getattr(done, "binds", {})
        into = {name: made for name, bind in binds.items() if (made := self._into(bind.type))}
        out = tuple((at, made) for at, each in enumerate(columns) if (made := self._out(each.type)))
        spread = {name: (each.name, each.at) for name, each in done.params.items() if isinstance(each, _Place)}
        fixed = {name: value for name, value in done.params.items() if name not in names and name not in spread}
        row = _row_class([each.name for each in columns])._make if columns else None
        return Compiled(str(done).encode(), fixed, into, out, spread, row)

    def _into(self, kind: Any) -> Convert | None:
        """Of our own types only: psycopg knows all others."""
        return kind.bind_processor(self._dialect) if isinstance(kind, TypeDecorator) else None

    def _out(self, kind: Any) -> Convert | None:
        return kind.result_processor(self._dialect, None) if isinstance(kind, TypeDecorator) else None


class PostgresStatements:
    """``Statements`` on one connection, in a transaction that somebody else begins and ends."""

    def __init__(self, connection: AsyncConnection[Any], compiler: Compiler, patience: Patience) -> None:
        self._connection = connection
        self._compiler = compiler
        self._patience = patience

    async def run(
        self, statement: Executable, values: Values | Sequence[Values] | None = None, *, scans: bool = False
    ) -> Answer:
        """As ``Statements``; raises DatabaseUnavailable where no answer comes."""
        given: Sequence[Values] = [values or {}] if values is None or isinstance(values, Mapping) else values
        if not given:
            return Answer((), 0)
        compiled, patience = self._compiler(statement, given[0]), self._patience
        with mapped(), deadline(self._connection, patience.scan if scans else patience.answer):
            async with self._connection.cursor() as cursor:
                if len(given) > 1:
                    await cursor.executemany(compiled.text, [compiled.values(each) for each in given])
                    return Answer((), cursor.rowcount)
                await cursor.execute(compiled.text, compiled.values(given[0]))
                if cursor.description is None:
                    return Answer((), cursor.rowcount)
                return Answer(compiled.rows(await cursor.fetchall()), cursor.rowcount)


def _row_class(names: Sequence[str]) -> Any:
    made: Any = namedtuple  # with names that are known only now, which its types don't have
    return made("Row", names, rename=True)


@dataclass(frozen=True, slots=True)
class _Place:
    """Stands for what is at one place of a list that is still to come."""

    name: str
    at: int


def _filled(values: Values, bind: Any) -> None:
    """Gives a parameter that waits for a value this one."""
    if bind.key in values:
        bind.value, bind.required = values[bind.key], False


def _length(value: Any) -> int | None:
    """How long a list is, whose places become parameters; None for a single value."""
    return len(value) if isinstance(value, list | tuple) else None
