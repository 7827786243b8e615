"""The error tree: drawn as it is, a slug for each class, an exit status for each leaf."""

from __future__ import annotations

import re

import pytest

import trustkit.errors
from trustkit.cli.status import exit_status
from trustkit.errors import TrustkitError


def _below(kind: type[TrustkitError]) -> list[type[TrustkitError]]:
    ours = [sub for sub in kind.__subclasses__() if sub.__module__ == trustkit.errors.__name__]
    return ours + [deeper for sub in ours for deeper in _below(sub)]


ALL = _below(TrustkitError)
LEAVES = [kind for kind in ALL if not _below(kind)]

STATUS = {
    "UsageError": 2,
    "Failed": 1,
    "Rejected": 1,
    "CouldNotCheck": 4,
    "NotTrusted": 3,
    "NotAllowed": 5,
    "KeyProblem": 6,
}
"""TRUST, exit statuses; the first family in this order that a leaf belongs to."""


def test_every_class_has_a_slug_of_its_own() -> None:
    slugs = [kind.slug for kind in [TrustkitError, *ALL]]
    assert len(set(slugs)) == len(slugs)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", slug) for slug in slugs)
    assert all("slug" in vars(kind) for kind in ALL)


def test_the_drawing_lists_every_class_and_nothing_else() -> None:
    drawing = str(trustkit.errors.__doc__).partition("TrustkitError\n")[2]
    drawn = {
        name
        for line in drawing.splitlines()
        for name in re.findall(r"\b[A-Z][A-Za-z]+\b", re.split(r" {4,}(?=[a-z])", line)[0].partition(";")[0])
    }
    assert drawn == {kind.__name__ for kind in ALL}


def test_the_drawing_shows_each_leaf_in_its_family() -> None:
    family = ""
    for line in str(trustkit.errors.__doc__).partition("TrustkitError\n")[2].splitlines():
        names = re.findall(r"\b[A-Z][A-Za-z]+\b", re.split(r" {4,}(?=[a-z])", line)[0])
        if " +-- " in line and re.search(r"  [a-z]", line.partition("+--")[2]):
            family = names[0]
            continue
        for name in names:
            parents = [kind.__name__ for kind in getattr(trustkit.errors, name).__mro__]
            assert family in parents, line


@pytest.mark.parametrize("kind", LEAVES, ids=lambda kind: kind.__name__)
def test_every_leaf_has_the_exit_status_of_its_family(kind: type[TrustkitError]) -> None:
    expected = next(status for name, status in STATUS.items() if issubclass(kind, getattr(trustkit.errors, name)))
    assert exit_status(kind("x")) == expected
    assert kind.__doc__


def test_what_an_error_says() -> None:
    error = TrustkitError("It broke.", hint="Mend it.", version=3)
    assert str(error) == "It broke.  Mend it."
    assert str(TrustkitError("It broke.")) == "It broke."
    assert error.context == {"version": 3}
    assert error.args == ("It broke.",)
