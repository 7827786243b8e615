"""``dataclass`` as the standard library has it, for whatever a verify loads: its methods wait until they are needed.

The standard library writes the source of six methods for each frozen class and compiles it when the module is loaded:
1 ms a class, a quarter of a whole verify.  Here fields, slots and ``replace`` are the standard library's own, all
classes share what they can, and ``__init__`` is compiled when many objects are made: 0.06 ms a class.  What an
object does is the same, which ``tests/core/test_records.py`` holds against the standard library.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar, cast

__all__ = ["dataclass"]

C = TypeVar("C", bound=type[Any])


def _dataclass(*, frozen: bool = False, slots: bool = False, kw_only: bool = False) -> Callable[[C], C]:
    """As ``dataclasses.dataclass``, in the forms that are used here; no ``InitVar``, no fields of base classes."""

    def made(cls: C) -> C:
        cls.__doc__ = cls.__doc__ or cls.__name__  # or the standard library makes one, slowly
        bare = cast("C", dataclasses.dataclass(init=False, repr=False, eq=False, slots=slots, kw_only=kw_only)(cls))
        fields = dataclasses.fields(bare)
        methods: dict[str, Callable[..., Any] | None] = {
            "__init__": _first_init(bare, fields, frozen=frozen, slots=slots),
            "__repr__": _repr(fields),
            "__eq__": _eq(fields),
            "__hash__": _hash(fields) if frozen else None,
        }
        if frozen:
            methods |= {"__setattr__": _no_setting, "__delattr__": _no_deleting}
        if frozen and slots:
            methods |= {"__getstate__": _getstate, "__setstate__": _setstate}
        for name, method in methods.items():
            if vars(bare).get(name) is None:
                setattr(bare, name, method)
        return bare

    return made


if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    dataclass = _dataclass

Fields = tuple["dataclasses.Field[Any]", ...]
_ABSENT = object()


OBJECTS_BEFORE_COMPILING = 20
"""Compiling takes as long as 40 objects that are filled field by field, and a run makes a handful of most classes."""


def _first_init(cls: Any, fields: Fields, *, frozen: bool, slots: bool) -> Callable[..., None]:
    """An ``__init__`` for the first objects, which then puts the real one into its place."""
    positional = [field.name for field in fields if field.init and not field.kw_only]
    left, put = OBJECTS_BEFORE_COMPILING, object.__setattr__ if frozen else setattr

    def __init__(self: Any, /, *args: Any, **values: Any) -> None:  # noqa: N807 - it becomes the class's
        nonlocal left
        left -= 1
        filled = _filled(fields, positional, args, values, slots=slots) if left >= 0 else None
        if filled is None:  # what doesn't fit, too, so that the real one says why
            cls.__init__ = _init(cls, fields, frozen=frozen, slots=slots)
            cls.__init__(self, *args, **values)
            return
        for name, value in filled:
            put(self, name, value)
        if hasattr(self, "__post_init__"):
            self.__post_init__()

    return __init__


def _filled(
    fields: Fields, positional: list[str], args: tuple[Any, ...], values: dict[str, Any], *, slots: bool
) -> list[tuple[str, Any]] | None:
    """Every field with its value; None where the arguments don't fit."""
    given = dict(zip(positional, args, strict=False))
    if len(args) > len(positional) or not given.keys().isdisjoint(values):
        return None
    given.update(values)
    filled = list[tuple[str, Any]]()
    for field in fields:
        name = field.name
        if field.init and name in given:
            filled.append((name, given.pop(name)))
        elif field.default_factory is not dataclasses.MISSING:
            filled.append((name, field.default_factory()))
        elif field.default is not dataclasses.MISSING:
            if field.init or slots:
                filled.append((name, field.default))
        elif field.init:
            return None
    return None if given else filled


def _init(cls: Any, fields: Fields, *, frozen: bool, slots: bool) -> Callable[..., None]:
    """The ``__init__`` that these fields ask for, compiled as the standard library does: nothing else is as fast."""
    names: dict[str, Any] = {"_set": object.__setattr__, "_ABSENT": _ABSENT}
    positional, keyword = ["self"], list[str]()
    lines: list[str] = []
    for field in fields:
        name, value, default = field.name, field.name, ""
        if field.default_factory is not dataclasses.MISSING:
            names[f"_make_{name}"] = field.default_factory
            default, value = "=_ABSENT", f"_make_{name}() if {name} is _ABSENT else {name}"
        elif field.default is not dataclasses.MISSING:
            names[f"_default_{name}"], default = field.default, f"=_default_{name}"
        if field.init:
            (keyword if field.kw_only else positional).append(f"{name}{default}")
        elif default == "=_ABSENT":
            value = f"_make_{name}()"
        elif default and slots:
            value = f"_default_{name}"
        else:
            continue
        lines.append(f"_set(self, {name!r}, {value})" if frozen else f"self.{name} = {value}")
    if hasattr(cls, "__post_init__"):
        lines.append("self.__post_init__()")
    heads = [*positional, *(["*", *keyword] if keyword else [])]
    source = f"def __init__({', '.join(heads)}):\n" + "".join(f" {line}\n" for line in lines or ["pass"])
    exec(source, names)  # noqa: S102 - made of the names of fields in our own source, and of nothing else
    made: Callable[..., None] = names["__init__"]
    made.__qualname__ = f"{cls.__qualname__}.__init__"
    return made


def _repr(fields: Fields) -> Callable[[Any], str]:
    shown = [field.name for field in fields if field.repr]

    def __repr__(self: Any) -> str:  # noqa: N807 - it becomes the class's
        return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"

    return __repr__


def _values(names: list[str]) -> Callable[[Any], Any]:
    return attrgetter(*names) if names else lambda _: ()


def _eq(fields: Fields) -> Callable[[Any, object], bool]:
    values = _values([field.name for field in fields if field.compare])

    def __eq__(self: Any, other: object) -> bool:  # noqa: N807 - it becomes the class's
        return bool(values(self) == values(other)) if type(other) is type(self) else NotImplemented

    return __eq__


def _hash(fields: Fields) -> Callable[[Any], int]:
    values = _values([field.name for field in fields if (field.compare if field.hash is None else field.hash)])

    def __hash__(self: Any) -> int:  # noqa: N807 - it becomes the class's
        return hash(values(self))

    return __hash__


def _no_setting(_self: Any, name: str, _value: object) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _no_deleting(_self: Any, name: str) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


def _getstate(self: Any) -> list[Any]:
    return [getattr(self, field.name) for field in dataclasses.fields(self)]


def _setstate(self: Any, state: list[Any]) -> None:
    for field, value in zip(dataclasses.fields(self), state, strict=True):
        object.__setattr__(self, field.name, value)
