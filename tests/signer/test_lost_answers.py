"""The signer has signed and its answer is lost, at each of the two signatures: what follows takes up the state."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest
from securesystemslib.signer import Key
from tuf.api.metadata import Targets

from tests.signer.running import RunningSigner
from tests.simulator import Publisher, manifest
from trustkit.authority.founders import Change, add_founders
from trustkit.authority.means import Means
from trustkit.authority.onlinekeys import OnlineKeys
from trustkit.authority.publish import Requester
from trustkit.authority.renew import Renewal
from trustkit.authority.sealing import Sealer
from trustkit.authority.settle import SettledPublishing, Settling
from trustkit.core.access import Assignment, Role
from trustkit.core.evaluate import evaluate
from trustkit.core.formats.tuf1 import read
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.names import Gun, PrincipalName
from trustkit.core.patterns import RepositoryPattern
from trustkit.core.ports.signing import Held
from trustkit.errors import Conflict, FounderNotAllowed, ServerFailed
from trustkit.server.signer_client import RemoteSigner
from trustkit.store.database import SqlStore

ALICE = Requester(PrincipalName("alice"), "192.0.2.1")
LIFE = Lifetimes()
SHORT = Lifetimes(LIFE.default | {"snapshot": timedelta(days=1), "timestamp": timedelta(days=1)})
"""What is published by it is due for a renewal by ``LIFE`` at once."""
T = TypeVar("T")


class Lossy:
    """The way to a real signer, on which the answer about one role is lost once."""

    def __init__(self, there: RemoteSigner) -> None:
        self.there = there
        self.lose = ""

    def make(self, gun: Gun) -> Mapping[str, Key]:
        return self.there.make(gun)

    def held(self, gun: Gun) -> Held:
        return self.there.held(gun)

    def ready(self) -> None:
        self.there.ready()

    def catch_up(self, gun: Gun, files: Mapping[str, bytes]) -> None:
        self.there.catch_up(gun, files)

    def stage(self, gun: Gun, roles: Iterable[str]) -> Mapping[str, Key]:
        return self._lost("stage", self.there.stage(gun, roles))

    def replace(self, gun: Gun) -> Mapping[str, Key]:
        return self._lost("replace", self.there.replace(gun))

    def sign(self, gun: Gun, role: str, payload: bytes, files: Mapping[str, bytes]) -> str:
        return self._lost(role, self.there.sign(gun, role, payload, files))

    def _lost(self, what: str, answer: T) -> T:
        if what == self.lose:
            self.lose = ""
            raise ServerFailed("The signer can't be reached: its answer is lost.")
        return answer


class Scene:
    """A service's use cases on a real store, with a real signer at the end of a lossy way."""

    def __init__(self, store: SqlStore, signer: RemoteSigner, name: str) -> None:
        self.store = store
        self.lossy = Lossy(signer)
        self.gun = Gun.parse(f"registry.example.com/lost/{name}")
        self.keys = OnlineKeys(Sealer(b"k" * 32), self.lossy)
        self.means = Means(store, self.keys, LIFE, now)
        self.settling = Settling(self.means, self.lossy)
        self.publishing = SettledPublishing(Means(store, self.keys, SHORT, now), self.settling)
        self.renewal = Renewal(self.means, settle=self.settling.settle)

    async def publisher(self, *tags: str) -> Publisher:
        """A publisher who has founded the collection, or lost the answer about that."""
        async with self.store.write() as tx:
            if await tx.identities.get(ALICE.principal):
                return self._bound(await self.keys.public(tx, self.gun))
            await tx.identities.add(ALICE.principal, "x", now())
            for role in (Role.ACR_PUSH, Role.ACR_IMAGE_SIGNER):
                await tx.identities.assign(ALICE.principal, Assignment(role, RepositoryPattern("*")))
        return self._bound(await self.publishing.online_keys(self.gun, ALICE))

    def _bound(self, online: Mapping[str, Key]) -> Publisher:
        return type("Bound", (Publisher,), {"online": property(lambda _: online)})(self.gun)

    async def publish(self, upload: dict[str, bytes]) -> Mapping[str, int]:
        return await self.publishing.publish(self.gun, upload, ALICE)

    async def founded(self) -> Publisher:
        made = await self.publisher()
        await self.publish(made.first_upload("v1", now=now()))
        made.files = await self.files()
        return made

    async def files(self) -> dict[str, bytes]:
        async with self.store.read() as tx:
            return {role: file.data for role, file in (await tx.collections.current(self.gun)).items()}

    async def actions(self) -> list[str]:
        async with self.store.read() as tx:
            return [row.action for row in reversed(await tx.audit.list(limit=100))]

    async def tags(self) -> set[str]:
        """The tags that a client would trust now."""
        return {tag.name for tag in evaluate(await self.files(), self.gun, now()).targets}


_TICKS = itertools.count()


def now() -> datetime:
    """A second later each time, or the same payload would be asked for again, and given."""
    return datetime.now(UTC) + timedelta(seconds=next(_TICKS) % 200)


@pytest.fixture
def play(signer: RunningSigner, tmp_path: Path, request: pytest.FixtureRequest) -> Callable[..., None]:
    name = "".join(c for c in request.node.name.lower() if c.isalnum())[-80:]

    def run(scene: Callable[[Scene], Awaitable[None]]) -> None:
        async def opened() -> None:
            store = await SqlStore.open(tmp_path / "trustkit.db")
            try:
                await scene(Scene(store, signer.as_seen_by(), name))
            finally:
                await store.close()

        asyncio.run(opened())

    return run


@pytest.mark.parametrize("lost", ["snapshot", "timestamp"])
def test_a_publish_whose_answer_is_lost_stores_nothing_and_the_next_goes_on(
    play: Callable[..., None], lost: str
) -> None:
    async def scene(it: Scene) -> None:
        publisher = await it.founded()
        before = await it.files()
        it.lossy.lose = lost
        with pytest.raises(ServerFailed):
            await it.publish(publisher.sign_upload("v2", manifest("2"), now()))
        assert await it.files() == before
        third = publisher.sign_upload("v3", manifest("3"), now())
        if lost == "snapshot":
            assert (await it.publish(third))["snapshot"] == 3, "version 2 is used up"
            assert await it.tags() == {"v1", "v3"}
            return
        with pytest.raises(Conflict) as caught:
            await it.publish(third)
        assert caught.value.context["versions"]["targets"] == 2
        assert await it.tags() == {"v1", "v2"}, "what was signed has become current"
        assert (await it.actions())[-1] == "taken-from-signer"
        publisher.files = await it.files()
        await it.publish(publisher.sign_upload("v3", manifest("3"), now()))
        assert await it.tags() == {"v1", "v2", "v3"}

    play(scene)


@pytest.mark.parametrize("lost", ["snapshot", "timestamp"])
def test_a_renewal_after_a_lost_answer_finds_its_way(play: Callable[..., None], lost: str) -> None:
    async def scene(it: Scene) -> None:
        publisher = await it.founded()
        it.lossy.lose = lost
        with pytest.raises(ServerFailed):
            await it.publish(publisher.sign_upload("v2", manifest("2"), now()))
        await it.renewal._settled(it.gun, now(), snapshot=True)
        assert await it.tags() == ({"v1"} if lost == "snapshot" else {"v1", "v2"})
        assert read((await it.files())["targets"], Targets).signed.version == (1 if lost == "snapshot" else 2)

    play(scene)


@pytest.mark.parametrize("lost", ["snapshot", "timestamp"])
def test_a_renewal_whose_answer_is_lost_is_made_anew(play: Callable[..., None], lost: str) -> None:
    async def scene(it: Scene) -> None:
        await it.founded()
        it.lossy.lose = lost
        with pytest.raises(ServerFailed):
            await it.renewal._settled(it.gun, now(), snapshot=True)
        await it.renewal._settled(it.gun, now(), snapshot=True)
        assert await it.tags() == {"v1"}

    play(scene)


@pytest.mark.parametrize("lost", ["snapshot", "timestamp"])
def test_a_founding_whose_answer_is_lost(play: Callable[..., None], lost: str) -> None:
    async def scene(it: Scene) -> None:
        publisher = await it.publisher()
        first = publisher.first_upload("v1", now=now())
        it.lossy.lose = lost
        with pytest.raises(ServerFailed):
            await it.publish(first)
        assert await it.files() == {}
        if lost == "snapshot":
            await it.publish(first)
        else:
            with pytest.raises(Conflict):
                await it.publish(first)
        assert await it.tags() == {"v1"}

    play(scene)


def test_a_stranger_whom_the_operators_list_refuses_is_not_signed_for(play: Callable[..., None]) -> None:
    async def scene(it: Scene) -> None:
        stranger, owner = await it.publisher(), await it.publisher()
        async with it.store.write() as tx:
            change = Change("operator", "test", now())
            await add_founders(tx, RepositoryPattern("*"), {owner.root.public_key.keyid}, change)
        with pytest.raises(FounderNotAllowed):
            await it.publish(stranger.first_upload("v1", now=now()))
        assert it.lossy.held(it.gun).versions == {"snapshot": 0, "timestamp": 0}
        await it.publish(owner.first_upload("v2", now=now()))
        assert await it.tags() == {"v2"}

    play(scene)
