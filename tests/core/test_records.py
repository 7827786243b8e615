"""What an object of a lean ``dataclass`` does is what one of the standard library's does."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys
from dataclasses import FrozenInstanceError, field
from typing import Any

import pytest

from trustkit.core import records
from trustkit.core.names import Digest, Tag

LEAN, STANDARD = records.dataclass, dataclasses.dataclass


def _frozen(dataclass: Any) -> Any:
    @dataclass(frozen=True, slots=True)
    class Frozen:
        """One."""

        name: str
        size: int = 7
        tags: list[str] = field(default_factory=list)
        secret: str = field(default="s", repr=False, compare=False)
        made: int = field(default=0, init=False)

        @property
        def twice(self) -> int:
            return self.size * 2

    return Frozen


def _mutable(dataclass: Any) -> Any:
    @dataclass(slots=True)
    class Mutable:
        """Two."""

        name: str
        size: int = 7
        seen: list[int] = field(default_factory=list, init=False)
        count: int = field(default=3, init=False)

    return Mutable


def _open(dataclass: Any) -> Any:
    @dataclass(frozen=True)
    class Open:
        """Three."""

        name: str = "n"
        size: int = field(default=1, init=False)

        def __post_init__(self) -> None:
            if not self.name:
                raise ValueError("no name")
            object.__setattr__(self, "size", len(self.name))

        def __str__(self) -> str:
            return self.name

    return Open


def _keywords(dataclass: Any) -> Any:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Keywords:
        """Four."""

        name: str = "n"
        size: int

    return Keywords


def _own(dataclass: Any) -> Any:
    @dataclass(frozen=True, slots=True)
    class Own:
        """Five."""

        name: str

        def __repr__(self) -> str:
            return "mine"

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Own) and self.name.lower() == other.name.lower()

        def __hash__(self) -> int:
            return hash(self.name.lower())

    return Own


def _empty(dataclass: Any) -> Any:
    @dataclass(frozen=True, slots=True)
    class Empty:
        """Six."""

    return Empty


SHAPES = (_frozen, _mutable, _open, _keywords, _own, _empty)
CALLS: tuple[tuple[tuple[Any, ...], dict[str, Any]], ...] = (
    ((), {}),
    (("a",), {}),
    (("b",), {}),
    (("A",), {}),
    (("",), {}),
    (("a", 1), {}),
    (("a", 1, ["x"]), {}),
    (("a", 1, ["x"], "other"), {}),
    (("a", 1, 2, 3, 4, 5), {}),
    (("a",), {"name": "b"}),
    ((), {"size": 2}),
    ((), {"name": "a", "size": 2}),
    (("a",), {"secret": "t"}),
    (("a",), {"unknown": 1}),
    (("a",), {"made": 1}),
)


def _tried(act: Any) -> Any:
    """What it gives, or the kind and words of what it raises, but for where the class was made."""
    try:
        return act()
    except (TypeError, ValueError, AttributeError) as error:
        return type(error), str(error).replace(".<locals>.", ".").rpartition("__init__()")[2]


def _objects(made: Any) -> list[Any]:
    return [_tried(lambda args=args, values=values: made(*args, **values)) for args, values in CALLS]


@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_made_shown_and_compared_as_the_standard_librarys(shape: Any):
    ours, theirs = _objects(shape(LEAN)), _objects(shape(STANDARD))
    assert [str(each) for each in ours] == [str(each) for each in theirs]
    assert [repr(each) for each in ours] == [repr(each) for each in theirs]
    pairs = [(a, b) for a in range(len(CALLS)) for b in range(len(CALLS))]
    assert [ours[a] == ours[b] for a, b in pairs] == [theirs[a] == theirs[b] for a, b in pairs]
    assert not any(one == other for one in ours for other in theirs if not isinstance(one, tuple))


def _seen(made: Any, args: tuple[Any, ...], values: dict[str, Any]) -> Any:
    one = _tried(lambda: made(*args, **values))
    return one if isinstance(one, tuple) else [getattr(one, each.name) for each in dataclasses.fields(made)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("args", "values"), CALLS)
def test_the_first_object_the_last_that_is_filled_and_the_first_of_a_compiled_one_are_alike(
    shape: Any, args: tuple[Any, ...], values: dict[str, Any]
):
    ours, theirs = shape(LEAN), shape(STANDARD)
    first = vars(ours)["__init__"]
    wanted = _seen(theirs, args, values)
    for number in range(records.OBJECTS_BEFORE_COMPILING + 2):
        assert _seen(ours, args, values) == wanted
        filled = number < records.OBJECTS_BEFORE_COMPILING and not (wanted and wanted[0] is TypeError)
        assert (vars(ours)["__init__"] is first) == filled


@pytest.mark.parametrize("shape", SHAPES)
def test_it_hashes_as_the_standard_librarys(shape: Any):
    def same(made: Any) -> list[Any]:
        hashes = [_tried(lambda each=each: hash(each)) for each in _objects(made)]
        return [a == b for a in hashes for b in hashes], [each for each in hashes if isinstance(each, tuple)]

    assert same(shape(LEAN)) == same(shape(STANDARD))


@pytest.mark.parametrize("shape", SHAPES)
def test_fields_slots_and_patterns_are_the_standard_librarys(shape: Any):
    ours, theirs = shape(LEAN), shape(STANDARD)
    assert [each.name for each in dataclasses.fields(ours)] == [each.name for each in dataclasses.fields(theirs)]
    assert getattr(ours, "__slots__", None) == getattr(theirs, "__slots__", None)
    assert ours.__match_args__ == theirs.__match_args__
    assert (ours.__doc__, ours.__name__, ours.__module__) == (theirs.__doc__, theirs.__name__, theirs.__module__)


@pytest.mark.parametrize("shape", [_frozen, _open, _keywords])
@pytest.mark.parametrize("name", ["name", "unknown"])
def test_what_is_frozen_stays_so(shape: Any, name: str):
    for dataclass in (LEAN, STANDARD):
        one = shape(dataclass)(name="a", **({"size": 1} if shape is _keywords else {}))
        with pytest.raises((FrozenInstanceError, TypeError)):
            setattr(one, name, "b")
        with pytest.raises((FrozenInstanceError, TypeError)):
            delattr(one, name)
        assert one.name == "a"


def test_what_is_not_frozen_is_set_and_each_has_a_list_of_its_own():
    made = _mutable(LEAN)
    one, other = made("a"), made("a")
    one.seen.append(1)
    assert (one.seen, other.seen) == ([1], [])
    assert one != other
    one.seen, one.size = [], 8
    other.size = 8
    assert one == other


def test_a_change_makes_another_one_and_is_checked():
    one = _open(LEAN)("long")
    assert dataclasses.replace(one, name="x").size == 1
    with pytest.raises(ValueError, match="no name"):
        dataclasses.replace(one, name="")
    with pytest.raises(TypeError, match="unknown"):
        dataclasses.replace(one, unknown=1)


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_is_equal(again: Any):
    one = Digest.parse("sha256:" + "a" * 64)
    assert again(one) == one
    assert hash(again(one)) == hash(one)


def test_one_kind_of_name_equals_no_other_nor_its_text():
    assert Tag("v1") == Tag("v1")
    assert Tag("v1") != "v1"
    assert dataclasses.is_dataclass(Tag)


def test_threads_that_make_the_first_objects_at_once_all_make_them():
    code = (
        "import sys, threading\n"
        "from trustkit.core.names import Tag\n"
        "sys.setswitchinterval(1e-6)\n"
        "begin, made = threading.Barrier(8), []\n"
        "def make():\n"
        "    begin.wait()\n"
        "    made.append(Tag('v1'))\n"
        "threads = [threading.Thread(target=make) for _ in range(8)]\n"
        "[each.start() for each in threads]\n"
        "[each.join() for each in threads]\n"
        "assert made == [Tag('v1')] * 8, made\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
