"""The role matrix: every role times every operation, written by hand."""

from __future__ import annotations

import itertools

import pytest

from trustkit.core.access import GRANTS, REMEDY, Action, Assignment, Operation, Role, granted, missing_roles
from trustkit.core.names import Repository
from trustkit.core.patterns import RepositoryPattern
from trustkit.errors import InvalidName

APP = Repository.parse("team/app")
COLUMNS = [
    Operation.READ_TRUST,
    Operation.PUBLISH,
    Operation.REGISTRY_VIEW,
    Operation.PULL_IMAGE,
    Operation.PUSH_IMAGE,
    Operation.DELETE_IMAGE,
    Operation.RESET_COLLECTION,
]
#                     trust  publish view   pull   push   delete reset
MATRIX: dict[str, tuple[bool, ...]] = {
    "":               (False, False, False, False, False, False, False),
    "AcrPull":        (True,  False, False, True,  False, False, False),
    "AcrPush":        (True,  False, False, True,  True,  False, False),
    "AcrDelete":      (False, False, False, False, False, True,  False),
    "AcrImageSigner": (False, False, False, False, False, False, False),
    "Reader":         (True,  False, False, True,  False, False, False),
    "Contributor":    (True,  False, False, True,  True,  True,  False),
    "Owner":          (True,  False, False, True,  True,  True,  True),
    "AcrPull AcrImageSigner":     (True, False, True, True, False, False, False),
    "AcrPush AcrImageSigner":     (True, True,  True, True, True,  False, False),
    "Reader AcrImageSigner":      (True, False, True, True, False, False, False),
    "Contributor AcrImageSigner": (True, True,  True, True, True,  True,  False),
    "Owner AcrImageSigner":       (True, True,  True, True, True,  True,  True),
    "AcrDelete AcrImageSigner":   (False, False, False, False, False, True, False),
}  # fmt: skip


def _on(pattern: str, roles: str) -> list[Assignment]:
    return [Assignment(Role.named(role), RepositoryPattern.parse(pattern)) for role in roles.split()]


@pytest.mark.parametrize("roles", MATRIX)
def test_the_role_matrix(roles: str) -> None:
    actions = granted(_on("*", roles), APP)
    assert tuple(not missing_roles(actions, operation) for operation in COLUMNS) == MATRIX[roles]


def test_the_matrix_has_every_role_and_every_operation() -> None:
    assert {role.value for role in Role} <= set(MATRIX)
    assert set(COLUMNS) == set(Operation)
    assert set(GRANTS) == set(Role)
    assert set(REMEDY) == set(Action)


MISSING: dict[tuple[str, Operation], tuple[str, ...]] = {
    ("", Operation.READ_TRUST): ("AcrPull",),
    ("", Operation.PUBLISH): ("AcrPush", "AcrImageSigner"),
    ("", Operation.REGISTRY_VIEW): ("AcrPull", "AcrImageSigner"),
    ("", Operation.PUSH_IMAGE): ("AcrPush",),
    ("", Operation.RESET_COLLECTION): ("Owner",),
    ("AcrPull", Operation.PUSH_IMAGE): ("AcrPush",),
    ("AcrPush", Operation.PUBLISH): ("AcrImageSigner",),
    ("Owner", Operation.PUBLISH): ("AcrImageSigner",),
    ("AcrImageSigner", Operation.PUBLISH): ("AcrPush",),
    ("AcrImageSigner", Operation.REGISTRY_VIEW): ("AcrPull",),
    ("Contributor", Operation.RESET_COLLECTION): ("Owner",),
    ("AcrPush", Operation.DELETE_IMAGE): ("AcrDelete",),
}


@pytest.mark.parametrize(("roles", "operation"), MISSING)
def test_a_refusal_lists_every_missing_role(roles: str, operation: Operation) -> None:
    missing = missing_roles(granted(_on("*", roles), APP), operation)
    assert tuple(role.value for role in missing) == MISSING[roles, operation]


@pytest.mark.parametrize(("role", "operation"), list(itertools.product(Role, Operation)))
def test_who_gets_the_roles_that_a_refusal_lists_is_allowed(role: Role, operation: Operation) -> None:
    have = _on("team/*", role.value)
    for missing in missing_roles(granted(have, APP), operation):
        have += _on("team/*", missing.value)
    assert missing_roles(granted(have, APP), operation) == ()


@pytest.mark.parametrize(
    ("pattern", "repository", "allowed"),
    [
        ("*", "team/app", True),
        ("team/*", "team/app", True),
        ("team/app", "team/app", True),
        ("team/*", "team", False),
        ("team/*", "teams/app", False),
        ("team", "team/app", False),
        ("team/app", "team/app/x", False),
        ("other/*", "team/app", False),
    ],
)
def test_a_role_counts_on_its_pattern_only(pattern: str, repository: str, allowed: bool) -> None:
    assert bool(granted(_on(pattern, "AcrPull"), Repository.parse(repository))) is allowed


def test_roles_on_different_patterns_do_not_add_up() -> None:
    actions = granted(_on("team/app", "AcrPush") + _on("team/other", "AcrImageSigner"), APP)
    assert missing_roles(actions, Operation.PUBLISH) == (Role.ACR_IMAGE_SIGNER,)


def test_roles_by_name() -> None:
    assert Role.named("acrIMAGEsigner") is Role.ACR_IMAGE_SIGNER
    for text in ("", "Acr", "AcrPull ", "admin"):
        with pytest.raises(InvalidName):
            Role.named(text)
