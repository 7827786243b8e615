"""Every role times every operation over the real store; rights end where the database says so (TRUST 8.1)."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.authority.conftest import Play, Scene, assigned
from trustkit.authority.access import actions_of, require
from trustkit.core.access import Action, Assignment, Operation, Role, granted
from trustkit.core.names import PrincipalName, Repository
from trustkit.errors import RoleMissing

APP = Repository.parse("team/app")
ALICE = PrincipalName("alice")

ALLOWED: dict[Role, set[Operation]] = {
    Role.ACR_PULL: {Operation.READ_TRUST, Operation.PULL_IMAGE},
    Role.ACR_PUSH: {Operation.READ_TRUST, Operation.PULL_IMAGE, Operation.PUSH_IMAGE},
    Role.ACR_DELETE: {Operation.DELETE_IMAGE},
    Role.ACR_IMAGE_SIGNER: set(),
    Role.READER: {Operation.READ_TRUST, Operation.PULL_IMAGE},
    Role.CONTRIBUTOR: {
        Operation.READ_TRUST,
        Operation.PULL_IMAGE,
        Operation.PUSH_IMAGE,
        Operation.DELETE_IMAGE,
    },
    Role.OWNER: {
        Operation.READ_TRUST,
        Operation.PULL_IMAGE,
        Operation.PUSH_IMAGE,
        Operation.DELETE_IMAGE,
        Operation.RESET_COLLECTION,
    },
}
"""What each role alone allows; written by hand."""


async def allowed(it: Scene, name: PrincipalName, repository: Repository) -> set[Operation]:
    """The operations that ``require`` lets through."""
    through, refused = set(), []
    async with it.store.read() as tx:
        for operation in Operation:
            try:
                assert operation.actions <= await require(tx, name, repository, operation)
                through.add(operation)
            except RoleMissing as error:
                refused.append(error)
    assert all(error.context["missing"] for error in refused), "a refusal names what lacks"
    assert {error.context["repository"] for error in refused} <= {str(repository)}
    return through


@pytest.mark.parametrize("role", Role)
def test_each_role_allows_exactly_its_operations(play: Play, role: Role) -> None:
    async def scene(it: Scene) -> None:
        alice = await it.person("alice", role)
        assert await allowed(it, alice, APP) == ALLOWED[role]

    play(scene)


@pytest.mark.parametrize(("first", "second"), list(itertools.combinations(Role, 2)))
def test_two_roles_add_up_and_only_a_signer_who_pushes_publishes(play: Play, first: Role, second: Role) -> None:
    async def scene(it: Scene) -> None:
        alice = await it.person("alice", first, second)
        through = await allowed(it, alice, APP)
        assert ALLOWED[first] | ALLOWED[second] <= through
        extra = through - ALLOWED[first] - ALLOWED[second]
        signs = Role.ACR_IMAGE_SIGNER in (first, second)
        assert (Operation.PUBLISH in extra) == (signs and Operation.PUSH_IMAGE in through)
        assert (Operation.REGISTRY_VIEW in extra) == (signs and Operation.PULL_IMAGE in through)
        assert extra <= {Operation.PUBLISH, Operation.REGISTRY_VIEW}

    play(scene)


async def nothing(it: Scene) -> None:
    """Nobody of this name was ever added."""


async def without_roles(it: Scene) -> None:
    await it.person("alice")


async def disabled(it: Scene) -> None:
    await it.person("alice", *Role)
    await it.principals.disable(ALICE)


async def removed(it: Scene) -> None:
    await it.person("alice", *Role)
    await it.principals.remove(ALICE)


async def added_again(it: Scene) -> None:
    await removed(it)
    await it.person("alice")


async def revoked(it: Scene) -> None:
    await it.person("alice", *Role)
    for role in Role:
        await it.principals.revoke(ALICE, assigned(role))


async def elsewhere(it: Scene) -> None:
    await it.person("alice", *Role, pattern="team/app/*")
    for role, pattern in itertools.product(Role, ("team", "team/ap", "team/app2", "other/*")):
        await it.principals.assign(ALICE, assigned(role, pattern))


async def somebody_else(it: Scene) -> None:
    await it.person("alice")
    await it.person("alice2", *Role)
    await it.person("alic", *Role)


@pytest.mark.parametrize(
    "before", [nothing, without_roles, disabled, removed, added_again, revoked, elsewhere, somebody_else]
)
def test_who_has_no_role_here_may_do_nothing(play: Play, before: Callable[[Scene], Awaitable[None]]) -> None:
    async def scene(it: Scene) -> None:
        await before(it)
        assert await allowed(it, ALICE, APP) == set()
        async with it.store.read() as tx:
            assert await actions_of(tx, ALICE, APP) == frozenset()

    play(scene)


def test_a_role_elsewhere_does_not_complete_one_here(play: Play) -> None:
    async def scene(it: Scene) -> None:
        alice = await it.person("alice", Role.ACR_PUSH, pattern="team/app")
        await it.principals.assign(alice, assigned(Role.ACR_IMAGE_SIGNER, "team/other"))
        async with it.store.read() as tx:
            with pytest.raises(RoleMissing) as caught:
                await require(tx, alice, APP, Operation.PUBLISH)
        assert caught.value.context["missing"] == ["AcrImageSigner"]

    play(scene)


PARTS = st.sampled_from(["a", "b", "ab", "team", "app"])
PATHS = st.lists(PARTS, min_size=1, max_size=4).map("/".join)
PATTERNS = st.one_of(PATHS, PATHS.map("{}/*".format), st.just("*"))
ASSIGNMENTS = st.lists(st.builds(assigned, st.sampled_from(Role), PATTERNS), max_size=6)


def _covers(pattern: str, path: str) -> bool:
    """The rule of TRUST 1.1 said once more, by parts."""
    wanted, parts = pattern.split("/"), path.split("/")
    if wanted[-1] != "*":
        return wanted == parts
    return len(parts) > len(wanted) - 1 and parts[: len(wanted) - 1] == wanted[:-1]


@given(assignments=ASSIGNMENTS, path=PATHS)
def test_rights_are_the_union_over_the_patterns_that_cover_the_path(assignments: list[Assignment], path: str) -> None:
    covering = [a for a in assignments if _covers(str(a.pattern), path)]
    by_hand = {operation for a in covering for operation in ALLOWED[a.role]}
    actions = granted(assignments, Repository.parse(path))
    assert {operation for operation in by_hand if not operation.actions <= actions} == set()
    assert bool(actions) == bool(covering)
    assert (Action.SIGN in actions) == any(a.role is Role.ACR_IMAGE_SIGNER for a in covering)


@given(assignments=ASSIGNMENTS, more=st.builds(assigned, st.sampled_from(Role), PATTERNS), path=PATHS)
def test_one_more_role_never_takes_a_right_away(assignments: list[Assignment], more: Assignment, path: str) -> None:
    repository = Repository.parse(path)
    assert granted(assignments, repository) <= granted([*assignments, more], repository)
