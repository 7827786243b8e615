"""``trustkit admin founders``."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.cli.conftest import Admin
from tests.service import Result

A, B = "a" * 64, "b" * 64
Founders = Callable[..., Result]


@pytest.fixture
def founders(admin: Admin) -> Founders:
    """Runs one ``trustkit admin founders``."""
    return lambda *arguments, group="founders": admin(group, *arguments)


def lists(founders: Founders) -> object:
    return json.loads(founders("list", "--format", "json").out)


def test_keys_are_listed_added_to_and_removed(founders: Founders) -> None:
    assert lists(founders) == []
    assert founders("list").out == "PATTERN  ROOT KEY\n"
    added = founders("add", "team/*", "--root-key", B, "--root-key", A)
    assert (added.status, added.out) == (0, "")
    assert A in added.err
    assert B in added.err
    assert founders("add", "*", "--root-key", A).status == 0
    assert lists(founders) == [{"pattern": "*", "root_keys": [A]}, {"pattern": "team/*", "root_keys": [A, B]}]
    assert [line.split() for line in founders("list").out.splitlines()[1:]] == [
        ["*", A],
        ["team/*", A],
        ["team/*", B],
    ]
    one = founders("remove", "team/*", "--root-key", A)
    assert (one.status, one.out) == (0, "")
    assert B in one.err
    every = founders("remove", "*")
    assert (every.status, every.out) == (0, "")
    assert "no list of founders any more" in every.err
    assert lists(founders) == [{"pattern": "team/*", "root_keys": [B]}]
    rows = json.loads(founders("list", "--format", "json", group="audit").out)
    assert [(row["action"], row["subject"]) for row in rows] == [
        ("founders-removed", "*"),
        ("founders-removed", "team/*"),
        ("founders-added", "*"),
        ("founders-added", "team/*"),
    ]
    assert all(row["actor"].startswith("operator:") for row in rows)


@pytest.mark.parametrize(
    ("arguments", "status", "slug"),
    [
        (("add", "team/*", "--root-key", "abc"), 2, "invalid-setting"),
        (("add", "team/*", "--root-key", A.upper()), 2, "invalid-setting"),
        (("add", "team/*", "--root-key", ""), 2, "invalid-setting"),
        (("add", "Team", "--root-key", A), 2, "invalid-name"),
        (("add", "*/app", "--root-key", A), 2, "invalid-name"),
        (("add", "", "--root-key", A), 2, "invalid-name"),
        (("remove", "**"), 2, "invalid-name"),
        (("remove", "team/*", "--root-key", "abc"), 2, "invalid-setting"),
        (("remove", "app"), 1, "not-found"),
        (("remove", "team/*", "--root-key", B), 1, "not-found"),
        (("remove", "team/*", "--root-key", A), 1, "conflict"),
        (("add", "team/*"), 2, ""),
        (("add", "--root-key", A), 2, ""),
        (("remove",), 2, ""),
        (("list", "--format", "yaml"), 2, ""),
        ((), 2, ""),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else None,
)
def test_what_is_refused_changes_nothing(
    founders: Founders, arguments: tuple[str, ...], status: int, slug: str
) -> None:
    assert founders("add", "team/*", "--root-key", A).status == 0
    refused = founders(*arguments)
    assert (refused.status, refused.slug, refused.out) == (status, slug, "")
    assert lists(founders) == [{"pattern": "team/*", "root_keys": [A]}]
