"""Principals and roles as the operator changes them: what holds afterwards, and that a refusal changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.authority.conftest import NOW, Play, Scene, assigned
from trustkit.authority.passwords import Passwords, generate_password
from trustkit.core.access import Role
from trustkit.core.names import PrincipalName
from trustkit.errors import Conflict, InvalidName, InvalidSetting, NotFound
from trustkit.store.database import SqlStore

ALICE, NOBODY = PrincipalName("alice"), PrincipalName("nobody")
PASSWORD = "correct horse battery"


def test_a_new_principal_has_its_password_and_no_role(play: Play) -> None:
    async def scene(it: Scene) -> None:
        assert await it.principals.add(ALICE, PASSWORD) is None
        (record,) = await it.principals.list()
        assert (record.name, record.disabled, record.created) == (ALICE, False, NOW)
        assert record.password_hash.startswith("$argon2id$")
        assert PASSWORD not in record.password_hash
        assert await it.passwords.check(record.password_hash, PASSWORD)
        assert not await it.passwords.check(record.password_hash, PASSWORD + " ")
        assert await it.principals.assignments() == {ALICE: ()}

    play(scene)


def test_a_password_is_generated_where_none_is_given_and_is_never_the_same(play: Play) -> None:
    async def scene(it: Scene) -> None:
        made = await it.principals.add(ALICE)
        renewed = await it.principals.set_password(ALICE)
        assert made is not None
        assert renewed is not None
        assert made != renewed
        (record,) = await it.principals.list()
        assert await it.passwords.check(record.password_hash, renewed)
        assert not await it.passwords.check(record.password_hash, made)

    play(scene)
    assert len({generate_password() for _ in range(1000)}) == 1000
    assert all(len(generate_password()) == 43 for _ in range(10)), "32 random bytes"


@pytest.mark.parametrize(
    "password",
    ["", "seven77", "x" * 1025, "\u00e9" * 513],
    ids=["empty", "7 characters", "1,025 bytes", "1,026 bytes in 513 characters"],
)
def test_a_weak_or_endless_password_makes_no_principal_and_changes_none(play: Play, password: str) -> None:
    async def scene(it: Scene) -> None:
        with pytest.raises(InvalidSetting):
            await it.principals.add(ALICE, password)
        assert await it.principals.list() == []
        await it.principals.add(ALICE, PASSWORD)
        before = await it.principals.list()
        with pytest.raises(InvalidSetting):
            await it.principals.set_password(ALICE, password)
        assert await it.principals.list() == before
        assert await it.actions() == ["principal-added"]

    play(scene)


@pytest.mark.parametrize("password", ["8letters", "x" * 1024, "\u00e9" * 512, "mit \n und \0 darin"])
def test_passwords_at_the_bounds_are_taken(play: Play, password: str) -> None:
    async def scene(it: Scene) -> None:
        await it.principals.add(ALICE, password)
        (record,) = await it.principals.list()
        assert await it.passwords.check(record.password_hash, password)

    play(scene)


def test_a_name_is_taken_once_also_when_disabled(play: Play) -> None:
    async def scene(it: Scene) -> None:
        await it.principals.add(ALICE, PASSWORD)
        before = await it.principals.list()
        with pytest.raises(Conflict, match="alice"):
            await it.principals.add(ALICE, "another password")
        await it.principals.disable(ALICE)
        with pytest.raises(Conflict):
            await it.principals.add(ALICE, "another password")
        assert [record.password_hash for record in await it.principals.list()] == [before[0].password_hash]

    play(scene)


def test_who_comes_after_a_removed_principal_inherits_nothing(play: Play) -> None:
    async def scene(it: Scene) -> None:
        await it.person("alice", Role.OWNER, password=PASSWORD)
        await it.principals.remove(ALICE)
        await it.principals.add(ALICE, "another password")
        assert await it.principals.assignments() == {ALICE: ()}
        (record,) = await it.principals.list()
        assert not await it.passwords.check(record.password_hash, PASSWORD)

    play(scene)


def test_a_new_password_does_not_enable_a_disabled_principal(play: Play) -> None:
    async def scene(it: Scene) -> None:
        await it.principals.add(ALICE, PASSWORD)
        await it.principals.disable(ALICE)
        await it.principals.set_password(ALICE, "another password")
        (record,) = await it.principals.list()
        assert record.disabled

    play(scene)


@pytest.mark.parametrize(
    "change",
    [
        lambda it: it.principals.set_password(NOBODY, PASSWORD),
        lambda it: it.principals.disable(NOBODY),
        lambda it: it.principals.remove(NOBODY),
        lambda it: it.principals.assign(NOBODY, assigned(Role.OWNER)),
        lambda it: it.principals.revoke(NOBODY, assigned(Role.OWNER)),
        lambda it: it.principals.revoke(ALICE, assigned(Role.OWNER)),
        lambda it: it.principals.revoke(ALICE, assigned(Role.ACR_PULL, "team/app")),
    ],
    ids=["password", "disable", "remove", "assign", "revoke", "a role not held", "a pattern not held"],
)
def test_what_is_not_there_can_not_be_changed(play: Play, change: Callable[[Scene], Awaitable[object]]) -> None:
    async def scene(it: Scene) -> None:
        await it.person("alice", Role.ACR_PULL, pattern="team/*")
        before = (await it.principals.list(), await it.principals.assignments(), await it.audit())
        it.now += timedelta(hours=1)
        with pytest.raises(NotFound):
            await change(it)
        assert (await it.principals.list(), await it.principals.assignments(), await it.audit()) == before

    play(scene)


def test_assigning_twice_is_assigning_once(play: Play) -> None:
    async def scene(it: Scene) -> None:
        await it.person("alice", Role.ACR_PULL, Role.ACR_PULL)
        assert (await it.principals.assignments())[ALICE] == (assigned(Role.ACR_PULL),)
        await it.principals.revoke(ALICE, assigned(Role.ACR_PULL))
        assert (await it.principals.assignments())[ALICE] == ()

    play(scene)


NAMES = st.from_regex(r"[a-z0-9][a-z0-9._@-]{0,127}", fullmatch=True)


@given(names=st.lists(NAMES, min_size=1, max_size=8, unique=True))
@settings(max_examples=15)
def test_any_set_of_names_is_kept_apart_and_sorted(
    names: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    async def scene() -> None:
        folder = tmp_path_factory.mktemp("names")
        store = await SqlStore.open(folder / "trustkit.db")
        try:
            it = Scene(store, folder)
            for number, name in enumerate(names):
                await it.person(name, list(Role)[number % len(Role)])
            listed = [str(record.name) for record in await it.principals.list()]
            assert listed == sorted(names)
            held = {str(name): roles for name, roles in (await it.principals.assignments()).items()}
            assert held == {name: (assigned(list(Role)[n % len(Role)]),) for n, name in enumerate(names)}
        finally:
            await store.close()

    asyncio.run(scene())


@given(text=st.text(max_size=140))
def test_a_name_is_ascii_lower_case_or_refused(text: str) -> None:
    try:
        name = PrincipalName.parse(text)
    except InvalidName:
        return
    assert str(name) == text
    assert text.isascii()
    assert text == text.lower()
    assert not set(text) & set(" \t\r\n:/,\"'")


def test_no_password_is_the_password_of_nobody() -> None:
    async def scene() -> None:
        passwords = Passwords()
        for guess in ("", "password", "\ud800", "x" * 5000):
            assert not await passwords.check(None, guess)
        assert not await passwords.check("not a hash", PASSWORD)

    asyncio.run(scene())
