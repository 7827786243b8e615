"""Core statements compiled once: SQLAlchemy writes the SQL, and the database's driver is asked with it.

Of what SQLAlchemy does for a statement each time, 60 us and more, a few are left.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import ref

from sqlalchemy import Executable, SelectBase, TypeDecorator
from sqlalchemy.sql.visitors import cloned_traverse

Values = Mapping[str, Any]
Convert = Callable[[Any], Any]
Named = tuple[tuple[str, int | None], ...]
"""The names of values, and for how many each has room, where it is a list."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """A statement as it goes to the server.

    Attributes:
        fixed: the values that are part of the statement itself, by parameter.
        into: what makes a value of ours one of the server's, by parameter; of those that need it.
        out: what makes a value of the server's one of ours, by column's place; of those that need it.
        spread: which place of which list a parameter is, of a statement that takes lists; past its end the last one.
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
            found[name] = given[whole][min(place, len(given[whole]) - 1)]
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
    """Compiles, and keeps it as long as there is the statement: those of a use case are the same objects each time.

    A list gets room for as many as the next power of two, its last one several times: else it would be another text
    for each length, and who publishes decides how many there are.

    Args:
        dialect: SQLAlchemy's, of the database; parameters have names in it.
        types: those whose values the driver doesn't know, beside our own.
    """

    def __init__(self, dialect: Any, types: tuple[type[Any], ...] = ()) -> None:
        self._dialect = dialect
        self._types: tuple[type[Any], ...] = (TypeDecorator, *types)
        self._kept: dict[int, tuple[ref[Executable], dict[Named, Compiled]]] = {}  # by identity

    def __call__(self, statement: Executable, values: Values) -> Compiled:
        """The statement for values with these names, and for lists as long as these."""
        named = tuple([(name, _room(values[name])) for name in sorted(values)])
        there = self._kept.get(id(statement))
        known = there[1] if there is not None and there[0]() is statement else self._begun(statement)
        compiled = known.get(named)
        if compiled is None:
            compiled = known[named] = self._compile(statement, named)
        return compiled

    @property
    def size(self) -> int:
        """How many are kept."""
        return sum(len(known) for _, known in list(self._kept.values()))

    def _begun(self, statement: Executable) -> dict[Named, Compiled]:
        kept, place, known = self._kept, id(statement), dict[Named, Compiled]()
        kept[place] = ref(statement, lambda _: kept.pop(place, None)), known  # nothing else has this identity before
        return known

    def _compile(self, statement: Executable, named: Named) -> Compiled:
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


def _room(value: Any) -> int | None:
    """For how many a statement has room, of a list whose places become parameters; None for a single value."""
    if not isinstance(value, list | tuple):
        return None
    return 1 << (len(value) - 1).bit_length() if value else 0
