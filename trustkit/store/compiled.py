"""Core statements compiled once: SQLAlchemy writes the SQL, and the database's driver is asked with it.

Of what SQLAlchemy does for a statement each time, 60 us and more, a few are left.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from sqlalchemy import Executable, SelectBase, TypeDecorator
from sqlalchemy.sql.visitors import cloned_traverse

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

    text: str
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
    """Compiles, and keeps what was used last: the statements of a use case are the same objects each time.

    Args:
        dialect: SQLAlchemy's, of the database; parameters have names in it.
        types: those whose values the driver doesn't know, beside our own.
    """

    def __init__(self, dialect: Any, types: tuple[type[Any], ...] = ()) -> None:
        self._dialect = dialect
        self._types: tuple[type[Any], ...] = (TypeDecorator, *types)
        self._kept = lru_cache(KEPT)(self._compile)

    def __call__(self, statement: Executable, values: Values) -> Compiled:
        """The statement for values with these names, and for lists as long as these."""
        return self._kept(statement, tuple((name, _length(values[name])) for name in sorted(values)))

    def _compile(self, statement: Executable, named: tuple[tuple[str, int | None], ...]) -> Compiled:
        element: Any = statement  # each is a ClauseElement, too, of which its type says nothing
        names = dict(named)
        columns: list[Any] = list(element.selected_columns) if isinstance(element, SelectBase) else []
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
        return Compiled(str(done), fixed, into, out, spread, row)

    def _into(self, kind: Any) -> Convert | None:
        return kind.dialect_impl(self._dialect).bind_processor(self._dialect) if self._is_ours(kind) else None

    def _out(self, kind: Any) -> Convert | None:
        return kind.dialect_impl(self._dialect).result_processor(self._dialect, None) if self._is_ours(kind) else None

    def _is_ours(self, kind: Any) -> bool:
        return isinstance(kind, self._types)


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
