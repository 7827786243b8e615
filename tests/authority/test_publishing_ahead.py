"""A large publish is judged before its transaction: nobody waits for it, and what has changed meanwhile counts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.authority.test_publishing import ALICE, World
from tests.simulator import GUN, LIFE, Publisher
from trustkit.authority.ahead import is_large
from trustkit.core.access import Assignment, Role
from trustkit.core.evaluate import evaluate
from trustkit.core.growth import Growth
from trustkit.core.names import Gun, PrincipalName, Tag
from trustkit.core.patterns import RepositoryPattern
from trustkit.core.ports.service import Scope
from trustkit.errors import Conflict, RoleMissing, TrustkitError
from trustkit.store.database import SqlStore
from trustkit.store.transaction import SqlTransaction

Between = Callable[[World], Awaitable[None]]


class Interrupted(SqlStore):
    """A store before whose next write transaction something else happens, once."""

    between: Callable[[], Awaitable[None]] | None = None
    writes = 0

    @asynccontextmanager
    async def write(self, of: Scope = None) -> AsyncIterator[SqlTransaction]:
        between, self.between = self.between, None
        if between is not None:
            await between()
            self.writes = 0
        self.writes += 1
        async with super().write(of) as tx:
            yield tx


async def _binned(world: World) -> Publisher:
    """A publisher whose collection is in bins, at the service as well."""
    publisher = await world.publisher()
    await _published(world, publisher, publisher.first_upload("v1", "v2"))
    await _published(world, publisher, publisher.change(lambda draft: draft.grow(Growth(above=1, bits=7))))
    return publisher


async def _published(world: World, publisher: Publisher, upload: dict[str, bytes]) -> None:
    await world.publishing.publish(publisher.gun, upload, ALICE)
    publisher.files = await world.files(publisher.gun)


def _resigned(publisher: Publisher) -> dict[str, bytes]:
    """All bins anew, as a renewal of the holder does."""
    upload = publisher.change(lambda draft: [draft.edit(role) for role in draft.places.files])
    assert is_large(upload)
    return upload


async def _another_publishes(world: World) -> None:
    other = await world.publisher(Gun.parse("registry.example.com/team/other"))
    await asyncio.wait_for(world.publishing.publish(other.gun, other.first_upload("v1"), ALICE), 20)


async def _the_same_is_signed(world: World) -> None:
    assert PUBLISHER is not None
    upload = PUBLISHER.change(lambda draft: draft.drop(["v1"]))
    await world.publishing.publish(GUN, upload, ALICE)


async def _the_timestamp_is_renewed(world: World) -> None:
    world.now += LIFE.default["timestamp"] / 2
    assert (await world.renewal.round()).renewed == 1


async def _a_jump_is_allowed(world: World) -> None:
    """What is judged by, beside files: no file changes."""
    async with world.store.write(GUN) as tx:
        await tx.upkeep.set_jumps(GUN, {"targets": 50})


async def _the_right_is_taken_away(world: World) -> None:
    async with world.store.write() as tx:
        taken = Assignment(Role.ACR_IMAGE_SIGNER, RepositoryPattern("team/*"))
        await tx.identities.revoke(PrincipalName("alice"), taken)


PUBLISHER: Publisher | None = None
CASES: dict[str, tuple[Between, type[TrustkitError] | None, int]] = {
    "another collection": (_another_publishes, None, 1),
    "the same collection": (_the_same_is_signed, Conflict, 1),
    "its timestamp": (_the_timestamp_is_renewed, None, 2),
    "what it is judged by": (_a_jump_is_allowed, None, 2),
    "the right to publish": (_the_right_is_taken_away, RoleMissing, 1),
}


@pytest.mark.parametrize("case", CASES)
def test_what_happens_meanwhile_counts(tmp_path: Path, case: str) -> None:
    """The lock is free while it is judged, and it is judged again where that was against what is no more."""
    between, error, writes = CASES[case]

    async def scene(world: World, store: Interrupted) -> None:
        global PUBLISHER
        publisher = PUBLISHER = await _binned(world)
        upload, before = _resigned(publisher), publisher.files
        store.between = lambda: between(world)
        if error is None:
            await world.publishing.publish(GUN, upload, ALICE)
        else:
            with pytest.raises(error):
                await world.publishing.publish(GUN, upload, ALICE)
        assert store.writes == writes
        files = await world.files()
        view = evaluate(files, GUN, world.now)
        assert set(view.targets) == {Tag("v2")} if case == "the same collection" else {Tag("v1"), Tag("v2")}
        assert (files["targets"] == upload["targets"]) is (error is None)
        assert (files["targets"] == before["targets"]) is (error is not None)

    async def run() -> None:
        store = await Interrupted.open(tmp_path / "trustkit.db")
        try:
            world = World(store)
            await world.people()
            await scene(world, store)
        finally:
            await store.close()

    asyncio.run(run())
