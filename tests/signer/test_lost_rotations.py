"""The signer has made, adopted or replaced keys and its answer is lost: a second run ends it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from securesystemslib.signer import Key

from tests.service import run
from tests.signer.running import RunningSigner
from tests.signer.test_lost_answers import ALICE, Scene, now, play
from tests.simulator import Publisher, manifest
from trustkit.authority.reset import Resetting
from trustkit.authority.rotation import Rotation
from trustkit.core.access import Assignment, Role
from trustkit.core.patterns import RepositoryPattern
from trustkit.core.roots import ONLINE
from trustkit.core.rotation_online import adopt
from trustkit.errors import Conflict, ServerFailed, StateError

__all__ = ["play"]


async def staged(it: Scene) -> Mapping[str, Key]:
    """The keys that wait for a root, made where there are none."""
    await Rotation(it.store, it.keys, clock=now).stage(it.gun, ONLINE, ALICE)
    async with it.store.read() as tx:
        return await it.keys.pending(tx, it.gun)


async def in_use(it: Scene) -> dict[str, str]:
    """The ids of the keys in use, as the service has them; the signer has to have the same."""
    async with it.store.read() as tx:
        ours = {role: key.keyid for role, key in (await it.keys.public(tx, it.gun)).items()}
    assert ours == {role: key.keyid for role, key in it.lossy.make(it.gun).items()}
    return ours


def naming(publisher: Publisher, keys: Mapping[str, Key]) -> dict[str, bytes]:
    """The next root, which names these keys."""
    return publisher.change(lambda draft: adopt(draft, keys) and None, publisher.root, now=now())


@pytest.mark.parametrize("lost", ["snapshot", "timestamp"])
def test_a_rotation_whose_answer_is_lost_is_ended_by_a_second_run(play: Callable[..., None], lost: str) -> None:
    async def scene(it: Scene) -> None:
        publisher = await it.founded()
        before, pending = await in_use(it), await staged(it)
        files = await it.files()
        it.lossy.lose = lost
        with pytest.raises(ServerFailed):
            await it.publish(naming(publisher, pending))
        assert await it.files() == files
        assert await staged(it) == pending, "asked again, the same keys wait"
        if lost == "snapshot":
            assert await in_use(it) == before, "the keys in use are in use until the new ones have signed a state"
            await it.publish(naming(publisher, pending))
        else:
            with pytest.raises(Conflict):
                await it.publish(naming(publisher, pending))
        assert await in_use(it) == {role: key.keyid for role, key in pending.items()}
        publisher.files = await it.files()
        await it.publish(publisher.sign_upload("v2", manifest("2"), now()))
        assert await it.tags() == {"v1", "v2"}

    play(scene)


def test_another_root_after_a_lost_answer_is_a_conflict_and_no_dead_end(play: Callable[..., None]) -> None:
    """One of two keys that wait came into use, unknown to the service; who comes next brings a root of its own."""

    async def scene(it: Scene) -> None:
        publisher = await it.founded()
        pending = await staged(it)
        it.lossy.lose = "timestamp"
        with pytest.raises(ServerFailed):
            await it.publish(naming(publisher, {"snapshot": pending["snapshot"]}))
        with pytest.raises(Conflict):
            await it.publish(naming(publisher, pending))
        assert (await in_use(it))["snapshot"] == pending["snapshot"].keyid
        publisher.files = await it.files()
        await it.publish(naming(publisher, {"timestamp": pending["timestamp"]}))
        assert await in_use(it) == {role: key.keyid for role, key in pending.items()}
        assert await it.tags() == {"v1"}

    play(scene)


def test_a_renewal_takes_a_rotation_whose_answer_was_lost(play: Callable[..., None]) -> None:
    async def scene(it: Scene) -> None:
        publisher = await it.founded()
        pending = await staged(it)
        it.lossy.lose = "timestamp"
        with pytest.raises(ServerFailed):
            await it.publish(naming(publisher, pending))
        await it.renewal._settled(it.gun, now(), snapshot=False)
        assert await in_use(it) == {role: key.keyid for role, key in pending.items()}
        assert await it.tags() == {"v1"}

    play(scene)


def test_keys_whose_answer_is_lost_are_the_ones_that_a_second_run_gets(play: Callable[..., None]) -> None:
    async def scene(it: Scene) -> None:
        await it.founded()
        it.lossy.lose = "stage"
        with pytest.raises(ServerFailed):
            await staged(it)
        there = it.lossy.there.stage(it.gun, [])
        assert set(there) == set(ONLINE)
        assert await staged(it) == there

    play(scene)


def test_a_reset_whose_answer_is_lost_is_ended_by_a_second_run(
    play: Callable[..., None], signer: RunningSigner
) -> None:
    """The signer has begun anew and the service doesn't know; publishing says so, and one consent is enough."""

    async def scene(it: Scene) -> None:
        publisher = await it.founded()
        async with it.store.write() as tx:
            await tx.identities.assign(ALICE.principal, Assignment(Role.OWNER, RepositoryPattern("*")))
        resetting = Resetting(it.means)
        allowed = run(["admin", "--data-dir", str(signer.data), "allow-reset", str(it.gun)], {})
        assert allowed.status == 0, allowed.err
        files = await it.files()
        it.lossy.lose = "replace"
        with pytest.raises(ServerFailed):
            await resetting.reset(it.gun, ALICE, confirmed=str(it.gun))
        assert await it.files() == files
        for ask in (
            it.publish(publisher.sign_upload("v2", manifest("2"), now())),
            it.renewal._settled(it.gun, now(), snapshot=True),
        ):
            with pytest.raises(StateError, match=f"ask for the reset again: trustkit reset {it.gun}"):
                await ask
        assert it.lossy.held(it.gun).versions == {"snapshot": 1, "timestamp": 1}, "nothing was used up"
        await resetting.reset(it.gun, ALICE, confirmed=str(it.gun))
        await in_use(it)
        assert (await it.actions())[-1] == "collection-reset"

    play(scene)
