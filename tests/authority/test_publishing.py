"""Publishing and renewal on the real store: rights, judgement, audit, and what a client then reads."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from tests.simulator import DAY, GUN, NOW, Publisher, manifest
from trustkit.authority.means import Means
from trustkit.authority.onlinekeys import OnlineKeys
from trustkit.authority.publish import Publishing, Requester
from trustkit.authority.renew import Renewal
from trustkit.authority.sealing import Sealer
from trustkit.authority.settings import set_content_trust
from trustkit.authority.views import Views
from trustkit.core.access import Assignment, Role
from trustkit.core.evaluate import evaluate
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.names import Gun, PrincipalName, Tag
from trustkit.core.patterns import RepositoryPattern
from trustkit.errors import (
    BadSignature,
    Conflict,
    Expired,
    NameTaken,
    RoleMissing,
    SignatureInvalid,
    StateError,
    TrustDisabled,
)
from trustkit.store.database import SqlStore

ALICE = Requester(PrincipalName("alice"), "192.0.2.1")
BOB = Requester(PrincipalName("bob"), "192.0.2.2")
LIFE = Lifetimes()


class World:
    def __init__(self, store: SqlStore, kek: bytes = b"k" * 32) -> None:
        self.store = store
        self.now = NOW
        self.keys = OnlineKeys(Sealer(kek))
        self.views = Views(store, clock=lambda: self.now)
        self.means = Means(store, self.keys, LIFE, lambda: self.now, self.views.forget)
        self.publishing = Publishing(self.means)
        self.renewal = Renewal(self.means)

    async def people(self) -> None:
        async with self.store.write() as tx:
            for name, roles in {"alice": (Role.ACR_PUSH, Role.ACR_IMAGE_SIGNER), "bob": (Role.ACR_PUSH,)}.items():
                await tx.identities.add(PrincipalName(name), "x", NOW)
                for role in roles:
                    await tx.identities.assign(PrincipalName(name), Assignment(role, RepositoryPattern("team/*")))

    async def publisher(self, gun: Gun = GUN) -> Publisher:
        """A publisher that uses the service's real online keys."""
        made = Publisher(gun)
        keys = await self.publishing.online_keys(gun, ALICE)
        made.__class__ = type("Bound", (Publisher,), {"online": property(lambda _: keys)})
        return made

    async def files(self, gun: Gun = GUN) -> dict[str, bytes]:
        async with self.store.read() as tx:
            return {role: file.data for role, file in (await tx.collections.current(gun)).items()}


def play(tmp_path: Path, scene: Callable[[World], Awaitable[None]]) -> None:
    async def run() -> None:
        store = await SqlStore.open(tmp_path / "trustkit.db")
        try:
            world = World(store)
            await world.people()
            await scene(world)
        finally:
            await store.close()

    asyncio.run(run())


def test_a_publish_is_served_verified_and_audited(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        publisher = await world.publisher()
        upload = publisher.first_upload("v1")
        assert await world.publishing.publish(GUN, upload, ALICE) == dict.fromkeys(
            ("root", "targets", "snapshot", "timestamp"), 1
        )
        publisher.files |= upload
        files = await world.files()
        assert files["root"] == upload["root"], "what is stored is what was sent"
        assert evaluate(files, GUN, NOW).targets[Tag("v1")].digest == manifest("v1").digest
        versions = await world.publishing.publish(GUN, publisher.sign_upload("v2", manifest("two")), ALICE)
        assert versions == {"root": 1, "targets": 2, "snapshot": 2, "timestamp": 2}
        view = await world.views.view(GUN.repository)
        assert view is not None
        assert set(view.targets) == {Tag("v1"), Tag("v2")}
        async with world.store.read() as tx:
            rows = await tx.audit.list()
        published = next(row for row in rows if row.action == "published")
        assert (published.actor, published.source, published.subject) == ("alice", "192.0.2.1", str(GUN))
        assert published.detail["tags"] == {"v2": str(manifest("two").digest)}

    play(tmp_path, scene)


def test_a_refused_publish_changes_nothing(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        publisher = await world.publisher()
        upload = publisher.first_upload("v1")
        await world.publishing.publish(GUN, upload, ALICE)
        publisher.files |= upload
        before = await world.files()
        with pytest.raises(Conflict) as conflict:
            await world.publishing.publish(GUN, upload, ALICE)
        assert conflict.value.context["versions"] == dict.fromkeys(("root", "targets", "snapshot", "timestamp"), 1)
        stranger = Publisher()
        stranger.files = dict(publisher.files)
        with pytest.raises(BadSignature):
            await world.publishing.publish(GUN, stranger.sign_upload("v1", manifest("evil")), ALICE)
        assert await world.files() == before

    play(tmp_path, scene)


def test_roles_are_read_in_the_publishs_own_transaction(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        publisher = await world.publisher()
        with pytest.raises(RoleMissing) as missing:
            await world.publishing.publish(GUN, publisher.first_upload("v1"), BOB)
        assert missing.value.context["missing"] == ["AcrImageSigner"]
        with pytest.raises(RoleMissing):
            await world.publishing.online_keys(Gun.parse("registry.example.com/other/app"), ALICE)
        async with world.store.write() as tx:
            await tx.identities.set_disabled(ALICE.principal)
        with pytest.raises(RoleMissing) as disabled:
            await world.publishing.publish(GUN, publisher.first_upload("v1"), ALICE)
        assert disabled.value.context["missing"] == ["AcrPush", "AcrImageSigner"]

    play(tmp_path, scene)


def test_one_repository_has_one_collection_whatever_its_host_is_called(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        publisher = await world.publisher()
        await world.publishing.publish(GUN, publisher.first_upload("v1"), ALICE)
        with pytest.raises(NameTaken) as taken:
            await world.publishing.online_keys(Gun.parse("mirror.example.com/team/app"), ALICE)
        assert str(GUN) in taken.value.hint

    play(tmp_path, scene)


def test_content_trust_off_refuses_publishes_and_deletes_nothing(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        publisher = await world.publisher()
        await world.publishing.publish(GUN, publisher.first_upload("v1"), ALICE)
        before = await world.files()
        async with world.store.write() as tx:
            await set_content_trust(tx, "disabled", actor="op", source="", now=NOW)
        with pytest.raises(TrustDisabled):
            await world.publishing.online_keys(GUN, ALICE)
        world.now += 2 * DAY
        assert (await world.renewal.round()).renewed == 1, "renewals go on"
        assert (await world.files())["targets"] == before["targets"]

    play(tmp_path, scene)


@pytest.mark.parametrize(
    ("age", "timestamp", "snapshot"),
    [
        (timedelta(hours=23), 1, 1),
        (timedelta(hours=25), 2, 1),
        (timedelta(days=6), 2, 1),
        (timedelta(days=8), 2, 2),
        (timedelta(days=60), 2, 2),
    ],
)
def test_renewal_is_daily_and_at_half_life(tmp_path: Path, age: timedelta, timestamp: int, snapshot: int) -> None:
    async def scene(world: World) -> None:
        publisher = await world.publisher()
        await world.publishing.publish(GUN, publisher.first_upload("v1"), ALICE)
        world.now += age
        report = await world.renewal.round()
        assert report.failed == {}
        view = evaluate(await world.files(), GUN, world.now)
        assert (view.versions["timestamp"], view.versions["snapshot"]) == (timestamp, snapshot)
        assert view.issued == (world.now if timestamp == 2 else NOW)

    play(tmp_path, scene)


def test_a_view_ends_at_the_earliest_expiry_without_any_change(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        publisher = await world.publisher()
        await world.publishing.publish(GUN, publisher.first_upload("v1"), ALICE)
        assert await world.views.view(GUN.repository) is not None
        world.now += 7 * DAY
        with pytest.raises(Expired):
            await world.views.view(GUN.repository)

    play(tmp_path, scene)


def test_online_keys_open_under_their_own_key_encryption_key_only(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        publisher = await world.publisher()
        stranger = World(world.store, kek=b"x" * 32)
        with pytest.raises(StateError):
            await stranger.publishing.publish(GUN, publisher.first_upload("v1"), ALICE)
        assert await world.files() == {}
        world.now += DAY
        await world.publishing.publish(GUN, publisher.first_upload("v1"), ALICE)
        stranger.now = world.now + 2 * DAY
        report = await stranger.renewal.round()
        assert list(report.failed) == [str(GUN)]

    play(tmp_path, scene)


@pytest.mark.parametrize("warm", [True, False], ids=["remembered", "new process"])
def test_a_root_that_was_exchanged_in_the_database_is_not_vouched_for_by_an_earlier_publish(
    tmp_path: Path, *, warm: bool
) -> None:
    """What is remembered of files is remembered for their bytes: who writes to the database gains nothing by it."""

    def exchange(old: bytes, new: bytes) -> None:
        with closing(sqlite3.connect(tmp_path / "trustkit.db")) as database, database:
            database.execute("DROP TRIGGER IF EXISTS keep_files_update")
            changed = database.execute("UPDATE files SET data = ? WHERE role = 'root' AND data = ?", (new, old))
            assert changed.rowcount == 1

    async def scene(world: World) -> None:
        publisher = await world.publisher()
        for upload in (publisher.first_upload("v1"), None):
            upload = upload or publisher.sign_upload("v2", manifest("two"))
            await world.publishing.publish(GUN, upload, ALICE)
            publisher.files |= upload
        if not warm:
            world = World(world.store)
        root = publisher.files["root"]
        signature = json.loads(root)["signatures"][0]["sig"].encode()
        weaker = root.replace(signature, bytes(reversed(signature)))
        exchange(root, weaker)
        upload = publisher.sign_upload("v3", manifest("three"))
        for _ in range(2):
            with pytest.raises(SignatureInvalid, match=r"root\.json"):
                await world.publishing.publish(GUN, upload, ALICE)
        exchange(weaker, root)
        await world.publishing.publish(GUN, upload, ALICE)
        assert set(evaluate(await world.files(), GUN, NOW).targets) == {Tag("v1"), Tag("v2"), Tag("v3")}

    play(tmp_path, scene)
