"""Every change leaves a row in its own transaction, which nothing can change or remove (TRUST 8.4)."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from tests.authority.conftest import NOW, OPERATOR, Play, Scene, assigned
from trustkit.authority.audit import MAX_ROWS, newest
from trustkit.authority.settings import set_content_trust, set_trust_only
from trustkit.core.access import Role
from trustkit.core.names import PrincipalName
from trustkit.core.patterns import RepositoryPattern
from trustkit.errors import Conflict, InvalidSetting

ALICE = PrincipalName("alice")
PASSWORD = "correct horse battery"
TEAM = RepositoryPattern.parse("team/*")


async def switch(it: Scene, value: str, *, force: bool = False) -> None:
    async with it.store.write() as tx:
        await set_content_trust(tx, value, unsafe_force=force, actor="root", source="local", now=it.now)


async def trust_only(it: Scene, pattern: RepositoryPattern, *, on: bool) -> None:
    async with it.store.write() as tx:
        await set_trust_only(tx, pattern, trust_only=on, actor="root", source="local", now=it.now)


CHANGES: dict[str, tuple[Callable[[Scene], Awaitable[object]], str, str, dict[str, object]]] = {
    "add": (lambda it: it.principals.add(PrincipalName("bob"), PASSWORD), "principal-added", "bob", {}),
    "passwd": (lambda it: it.principals.set_password(ALICE, PASSWORD), "password-set", "alice", {}),
    "disable": (lambda it: it.principals.disable(ALICE), "principal-disabled", "alice", {}),
    "remove": (
        lambda it: it.principals.remove(ALICE),
        "principal-removed",
        "alice",
        {"roles": ["AcrPull on team/*"]},
    ),
    "assign": (
        lambda it: it.principals.assign(ALICE, assigned(Role.OWNER)),
        "role-assigned",
        "alice",
        {"role": "Owner", "repository": "*"},
    ),
    "revoke": (
        lambda it: it.principals.revoke(ALICE, assigned(Role.ACR_PULL, "team/*")),
        "role-revoked",
        "alice",
        {"role": "AcrPull", "repository": "team/*"},
    ),
    "trust-only": (lambda it: trust_only(it, TEAM, on=True), "repository-set", "team/*", {"trust_only": True}),
    "switch": (
        lambda it: switch(it, "disabled"),
        "policy-set",
        "content-trust",
        {"value": "disabled", "forced": False, "trust_only": []},
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_leaves_one_row_that_says_who_when_and_what(play: Play, change: str) -> None:
    call, action, subject, detail = CHANGES[change]

    async def scene(it: Scene) -> None:
        await it.person("alice", Role.ACR_PULL, pattern="team/*", password=PASSWORD)
        before = await it.audit()
        it.now += timedelta(minutes=1)
        await call(it)
        after = await it.audit()
        assert after[:-1] == before
        row = after[-1]
        assert (row.action, row.subject, row.detail) == (action, subject, detail)
        assert row.at == NOW + timedelta(minutes=1)
        assert row.actor
        assert row.source == "local"

    play(scene)


def test_the_operator_is_named(play: Play) -> None:
    async def scene(it: Scene) -> None:
        await it.person("alice", Role.ACR_PULL)
        assert {(row.actor, row.source) for row in await it.audit()} == {(OPERATOR.name, OPERATOR.source)}

    play(scene)


def test_switching_off_past_trust_only_is_marked_as_forced(play: Play) -> None:
    async def scene(it: Scene) -> None:
        await trust_only(it, TEAM, on=True)
        with pytest.raises(Conflict) as caught:
            await switch(it, "disabled")
        assert caught.value.context["patterns"] == ["team/*"]
        assert await it.actions() == ["repository-set"], "a refusal leaves no row and changes nothing"
        await switch(it, "disabled", force=True)
        assert (await it.audit())[-1].detail == {"value": "disabled", "forced": True, "trust_only": ["team/*"]}
        await switch(it, "enabled", force=True)
        assert (await it.audit())[-1].detail["forced"] is False
        with pytest.raises(InvalidSetting):
            await switch(it, "off")

    play(scene)


def test_no_secret_is_in_a_row(play: Play) -> None:
    async def scene(it: Scene) -> None:
        made = await it.principals.add(ALICE)
        renewed = await it.principals.set_password(ALICE)
        await it.principals.set_password(ALICE, PASSWORD)
        text = json.dumps([[row.actor, row.subject, dict(row.detail)] for row in await it.audit()])
        for secret in (made, renewed, PASSWORD, "$argon2"):
            assert secret is not None
            assert secret not in text

    play(scene)


def test_the_newest_rows_come_first_and_their_number_is_bounded(play: Play) -> None:
    async def scene(it: Scene) -> None:
        for name in ("a", "b", "c"):
            await it.principals.add(PrincipalName(name), PASSWORD)
        assert [row.subject for row in await newest(it.store, 2)] == ["c", "b"]
        assert len(await newest(it.store, MAX_ROWS)) == 3
        for limit in (0, -1, MAX_ROWS + 1):
            with pytest.raises(InvalidSetting):
                await newest(it.store, limit)

    play(scene)


@pytest.mark.parametrize(
    "statement",
    ["DELETE FROM audit", "UPDATE audit SET actor = 'somebody else'", "DELETE FROM audit WHERE id = 1"],
)
def test_the_database_itself_keeps_the_rows(play: Play, tmp_path: Path, statement: str) -> None:
    async def scene(it: Scene) -> None:
        await it.principals.add(ALICE, PASSWORD)

    play(scene)
    connection = sqlite3.connect(tmp_path / "trustkit.db")
    with connection, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(statement)
    assert connection.execute("SELECT actor FROM audit").fetchall() == [(OPERATOR.name,)]
    connection.close()
