"""Collections in format docker on the real store: founding, renewal, rights, and where the two formats meet."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tuf.api.metadata import Snapshot

from tests.authority.anvil import Anvil
from tests.authority.conftest import Play, Scene
from tests.formats_docker.forge import Forge, certified, ecdsa, role_of, tags
from tests.simulator import Publisher
from trustkit.authority.expiry import Expiries
from trustkit.authority.founders import Change, add_founders
from trustkit.authority.means import Means
from trustkit.authority.notary import Notary
from trustkit.authority.notary_keys import opened
from trustkit.authority.notary_publish import NotaryPublishing
from trustkit.authority.notary_resign import SNAPSHOT_LIFE
from trustkit.authority.onlinekeys import OnlineKeys
from trustkit.authority.publish import Publishing, Requester
from trustkit.authority.recover import Recovery
from trustkit.authority.renew import Renewal
from trustkit.authority.reset import Resetting
from trustkit.authority.sealing import Sealer
from trustkit.authority.settings import set_content_trust, set_policy
from trustkit.authority.views import Views
from trustkit.core.access import Role
from trustkit.core.evaluate import evaluate as evaluate_tuf
from trustkit.core.formats import tuf1
from trustkit.core.formats.docker import files
from trustkit.core.formats.docker.evaluate import evaluate
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.names import Gun, PrincipalName, Repository, Tag
from trustkit.core.patterns import RepositoryPattern
from trustkit.core.ports.service import DOCKER_SNAPSHOT
from trustkit.errors import (
    BadSignature,
    Conflict,
    Expired,
    FounderNotAllowed,
    InvalidSetting,
    NameTaken,
    NoCollection,
    NotFound,
    RoleMissing,
    StateError,
    TrustDisabled,
    WrongFormat,
    WrongGun,
)

GUN, OTHER_NAME = Gun.parse("localhost:5000/team/app"), Gun.parse("registry.example.com/team/app")
ALICE, BOB, OLGA = (Requester(PrincipalName(name), "192.0.2.1") for name in ("alice", "bob", "olga"))
DAY = timedelta(days=1)


class Office:
    """The use cases of both formats on a scene's store, and one publisher."""

    def __init__(self, it: Scene, keys: OnlineKeys | None = None) -> None:
        self.it = it
        it.now = datetime.now(UTC).replace(microsecond=0)
        self.keys = keys or OnlineKeys(Sealer(b"k" * 32))
        self.views = Views(it.store, clock=it.clock)
        self.expiries = Expiries(it.store, clock=it.clock)
        self.means = Means(it.store, self.keys, Lifetimes(), it.clock, self.views.forget)
        self.publishing, self.tuf = NotaryPublishing(self.means), Publishing(self.means)
        self.renewal = Renewal(self.means)
        self.notary = Notary(it.store, self.keys, Resetting(self.means), clock=it.clock)
        self.forge = Forge(GUN)
        self.forge.expires = it.now + timedelta(days=1000)
        self.forge.roles["targets"].expires = self.forge.expires

    async def people(self) -> None:
        await self.it.person("alice", Role.ACR_PUSH, Role.ACR_IMAGE_SIGNER)
        await self.it.person("bob", Role.ACR_PUSH)
        await self.it.person("olga", Role.OWNER)

    async def ready(self, *, snapshot: bool = True) -> Office:
        """With the service's keys in the publisher's root."""
        await self.people()
        for role in ("timestamp", "snapshot") if snapshot else ("timestamp",):
            await self.names(role)
        return self

    async def names(self, role: str) -> None:
        """Has the publisher's root name the service's key."""
        key = await self.notary.key(GUN, role, ALICE)
        self.forge.signers[role] = [(key, self.forge.signers[role][0][1])]

    def upload(self, *roles: str) -> dict[str, bytes]:
        signed = {"root": self.forge.root, **self.forge.roles}
        return {role: files.sign(signed[role], self.forge.signers[role]) for role in roles}

    async def found(self) -> Mapping[str, int]:
        return await self.publishing.publish(GUN, self.upload("root", "targets"), ALICE)

    async def signs(self, *names: str) -> Mapping[str, int]:
        targets = self.forge.roles["targets"]
        targets.targets, targets.version = tags(*names), targets.version + 1
        return await self.publishing.publish(GUN, self.upload("targets"), ALICE)

    async def stored(self) -> dict[str, bytes]:
        async with self.it.store.read() as tx:
            return {role: file.data for role, file in (await tx.collections.current(GUN)).items()}

    async def tags(self) -> set[str]:
        view = await self.views.view(GUN.repository)
        assert view is not None
        return {str(tag) for tag in view.targets}


def test_a_collection_is_founded_signed_audited_and_gated(play: Play) -> None:
    async def scene(it: Scene) -> None:
        office = await Office(it).ready()
        assert await office.found() == {"root": 1, "targets": 1, "snapshot": 1, "timestamp": 1}
        assert await office.signs("v1", "v2") == {"root": 1, "targets": 2, "snapshot": 2, "timestamp": 2}
        assert set(evaluate(await office.stored(), GUN, it.now).targets) == {Tag("v1"), Tag("v2")}
        assert await office.tags() == {"v1", "v2"}
        row = (await it.audit())[-1]
        assert (row.action, row.actor, row.subject) == ("published", "alice", str(GUN))
        assert row.detail["tags"] == {"v2": f"sha256:{'ab' * 32}"}
        assert "collection-founded" in await it.actions()
        assert (await office.expiries.now()).collections == 1

    play(scene)


def test_the_audit_tells_what_changed_whether_or_not_the_service_remembers_what_was_before(play: Play) -> None:
    """Of a state that it stored itself, one whose timestamp was renewed since, and one that it never saw."""

    async def scene(it: Scene) -> None:
        office = await Office(it).ready()
        await office.found()
        await office.signs("v1", "v2")
        await office.signs("v2", "v3")
        assert (await it.audit())[-1].detail["tags"] == {"v1": None, "v3": f"sha256:{'ab' * 32}"}
        it.now += 5 * DAY
        last = (await office.stored())["timestamp"]
        await office.renewal.round()
        assert (await office.stored())["timestamp"] != last
        await office.signs("v3")
        assert (await it.audit())[-1].detail["tags"] == {"v2": None}
        now = it.now
        restarted = Office(it, office.keys)
        restarted.forge, it.now = office.forge, now
        await restarted.signs("v3", "v4")
        assert (await it.audit())[-1].detail["tags"] == {"v4": f"sha256:{'ab' * 32}"}

    play(scene)


def test_what_was_read_before_is_judged_anew_each_time(play: Play) -> None:
    """The very bytes that a service has read already: refused ones again, a former key's, another collection's."""

    async def scene(it: Scene) -> None:
        office = await Office(it).ready()
        await office.found()
        forge = office.forge
        honest, stranger = forge.signers["targets"], [ecdsa()]
        targets = forge.roles["targets"]
        targets.version += 1
        refused = {"targets": files.sign(targets, stranger)}
        before = await office.stored()
        for _ in range(3):
            with pytest.raises(BadSignature):
                await office.publishing.publish(GUN, refused, ALICE)
        assert await office.stored() == before
        next_ = {"targets": files.sign(targets, honest)}
        await office.publishing.publish(GUN, next_, ALICE)
        with pytest.raises(Conflict):
            await office.publishing.publish(GUN, next_, ALICE)
        other = Gun.parse("localhost:5000/team/other")
        with pytest.raises(WrongGun):
            await office.publishing.publish(other, {role: before[role] for role in ("root", "targets")}, ALICE)

    play(scene)


def test_keys_are_the_same_until_a_root_names_them(play: Play) -> None:
    async def scene(it: Scene) -> None:
        office = await Office(it).ready()
        first = await office.notary.key(GUN, "timestamp", ALICE)
        assert await office.notary.next_key(GUN, "timestamp", ALICE) == first
        await office.found()
        assert await office.notary.key(GUN, "timestamp", ALICE) == first
        second = await office.notary.next_key(GUN, "timestamp", ALICE)
        assert second.keyid != first.keyid
        assert await office.notary.next_key(GUN, "timestamp", ALICE) == second
        assert await office.notary.key(GUN, "timestamp", ALICE) == first
        forge = office.forge
        forge.version, forge.signers["timestamp"] = 2, [(second, forge.signers["timestamp"][0][1])]
        await office.publishing.publish(GUN, office.upload("root"), ALICE)
        assert await office.notary.key(GUN, "timestamp", ALICE) == second
        assert await office.tags() == {"v1"}
        for call in (office.notary.key, office.notary.next_key):
            with pytest.raises(RoleMissing):
                await call(GUN, "snapshot", BOB)

    play(scene)


def test_who_may_not_gets_nothing(play: Play) -> None:
    async def scene(it: Scene) -> None:
        office = await Office(it).ready()
        upload = office.upload("root", "targets")
        with pytest.raises(RoleMissing) as missing:
            await office.publishing.publish(GUN, upload, BOB)
        assert missing.value.context["missing"] == ["AcrImageSigner"]
        await office.publishing.publish(GUN, upload, ALICE)
        with pytest.raises(NameTaken, match=str(GUN)):
            await office.publishing.publish(OTHER_NAME, upload, ALICE)
        with pytest.raises(RoleMissing):
            await office.notary.delete(GUN, ALICE)
        for policy in ("notary-api", "content-trust"):
            async with it.store.write() as tx:
                change = set_policy if policy == "notary-api" else _content_trust
                await change(tx, policy, "disabled", actor="root", source="local", now=it.now)
            with pytest.raises(TrustDisabled):
                await office.signs("v2")
            with pytest.raises(TrustDisabled):
                await office.notary.file(GUN, "root", None, "")
            with pytest.raises(TrustDisabled):
                await office.notary.delete(GUN, OLGA)
            with pytest.raises(TrustDisabled):
                await office.notary.changes(None, None, 0)
            async with it.store.write() as tx:
                change = set_policy if policy == "notary-api" else _content_trust
                await change(tx, policy, "enabled", actor="root", source="local", now=it.now)
        for name, value in (("notary-api", "tuf"), ("default-format", "enabled"), ("other", "tuf")):
            with pytest.raises(InvalidSetting):
                async with it.store.write() as tx:
                    await set_policy(tx, name, value, actor="root", source="local", now=it.now)

    play(scene)


async def _content_trust(tx, _name, value, **who) -> None:
    await set_content_trust(tx, value, **who)


def test_only_listed_keys_found(play: Play) -> None:
    """TRUST 3.8: by the id of the key, or of its certificate as docker shows it."""

    async def scene(it: Scene) -> None:
        office = await Office(it).ready()
        key = office.forge.signers["root"][0][0]
        for number, listed in enumerate(("ab" * 32, key.keyid, key.canonical_id)):
            async with it.store.write() as tx:
                pattern = RepositoryPattern.parse("*" if number == 0 else "team/*")
                await add_founders(tx, pattern, [listed], Change("root", "local", it.now))
            if number == 0:
                with pytest.raises(FounderNotAllowed):
                    await office.found()
                async with it.store.read() as tx:
                    assert await tx.collections.get(GUN) is None
        await office.found()

    play(scene)


def test_somebody_who_was_faster_is_told_and_nothing_is_half_done(play: Play) -> None:
    async def scene(it: Scene) -> None:
        office = await Office(it).ready()
        await office.found()
        office.forge.roles["targets"].version = 2
        first, second = office.upload("targets"), office.upload("targets")
        results = await asyncio.gather(
            *(office.publishing.publish(GUN, upload, ALICE) for upload in (first, second)), return_exceptions=True
        )
        (conflict,) = [result for result in results if isinstance(result, Conflict)]
        assert conflict.context["versions"] == {"root": 1, "targets": 2, "snapshot": 2, "timestamp": 2}
        assert len([result for result in results if isinstance(result, dict)]) == 1
        office.forge.roles["targets"].version = 3
        office.forge.version = 2
        before = await office.stored()
        office.forge.signers["targets"] = [ecdsa()]
        with pytest.raises(BadSignature):
            await office.publishing.publish(GUN, office.upload("targets"), ALICE)
        with pytest.raises(BadSignature, match="targets that are stored"):
            await office.publishing.publish(GUN, office.upload("root"), ALICE)
        assert await office.stored() == before

    play(scene)


def test_what_the_service_signs_is_renewed_long_before_it_expires(play: Play) -> None:
    async def scene(it: Scene) -> None:
        office = await Office(it).ready()
        await office.found()
        began = it.now
        assert (await office.renewal.round()).renewed == 0
        for day in range(1, 400):
            it.now = began + day * DAY
            if day % 6 == 0:
                report = await office.renewal.round()
                assert (report.renewed, report.failed) == (1, {})
                view = await office.views.view(Repository("team/app"))
                assert view is not None
                assert view.expires > it.now + 6 * DAY
        snapshot = files.read((await office.stored())["snapshot"], files.role_kind("snapshot")).signed
        assert snapshot.expires > it.now + SNAPSHOT_LIFE - 40 * DAY
        changes = await office.notary.changes(GUN, None, 1000)
        assert [change.version for change in changes] == list(range(1, len(changes) + 1))
        it.now += 8 * DAY
        office.views.forget(GUN)
        with pytest.raises(Expired):
            await office.views.view(GUN.repository)
        await office.renewal.round()
        assert await office.tags() == {"v1"}

    play(scene)


def test_a_publishers_snapshot_is_not_the_services_to_renew(play: Play) -> None:
    async def scene(it: Scene) -> None:
        office = await Office(it).ready(snapshot=False)
        up = office.upload("root", "targets")
        up["snapshot"] = _snapshot(office, up)
        await office.publishing.publish(GUN, up, ALICE)
        began = it.now
        for day in (2, 995, 997):
            it.now = began + day * DAY
            assert (await office.renewal.round()).failed == {}
            stored = await office.stored()
            assert stored["snapshot"] == up["snapshot"]
            assert files.read(stored["timestamp"], files.role_kind("timestamp")).signed.expires > it.now + 5 * DAY
        expiry = await office.expiries.now()
        assert "snapshot" not in expiry.roles, "one who lets it expire doesn't have the service be not ready"
        assert (expiry.roles[DOCKER_SNAPSHOT].due, expiry.roles[DOCKER_SNAPSHOT].expired) == (1, 0)
        count = len(await it.audit())
        await office.renewal.round()
        assert len(await it.audit()) == count, "a round with nothing to do does nothing"

    play(scene)


def test_a_key_that_signed_is_not_taken_again_when_the_snapshot_comes_back(play: Play) -> None:
    async def scene(it: Scene) -> None:
        office = await Office(it).ready()
        await office.found()
        first = await office.notary.key(GUN, "snapshot", ALICE)
        forge = office.forge
        forge.version, forge.signers["snapshot"] = 2, [ecdsa()]
        up = office.upload("root")
        up["snapshot"] = _snapshot(office, {**up, "targets": (await office.stored())["targets"]}, version=2)
        await office.publishing.publish(GUN, up, ALICE)
        assert await office.tags() == {"v1"}
        second = await office.notary.next_key(GUN, "snapshot", ALICE)
        assert second.keyid != first.keyid
        assert await office.notary.key(GUN, "snapshot", ALICE) == second
        forge.version = 3
        await office.names("snapshot")
        versions = await office.publishing.publish(GUN, office.upload("root"), ALICE)
        assert versions == {"root": 3, "targets": 1, "snapshot": 3, "timestamp": 3}

    play(scene)


def _snapshot(office: Office, up: Mapping[str, bytes], version: int = 1) -> bytes:
    meta = {files.meta_name(role): files.meta_of(data) for role, data in up.items()}
    return files.sign(Snapshot(version, None, office.forge.expires, meta), office.forge.signers["snapshot"])


def test_deleted_and_founded_anew_it_is_another_collection(play: Play) -> None:
    async def scene(it: Scene) -> None:
        office = await Office(it).ready()
        await office.found()
        await office.signs("v1", "v2")
        old = await office.stored()
        await office.notary.delete(GUN, OLGA)
        with pytest.raises(NoCollection):
            await office.notary.file(GUN, "root", None, "")
        assert await office.views.view(GUN.repository) is None
        await office.notary.delete(GUN, OLGA)
        office.forge.signers["root"] = [certified(gun=GUN)]
        office.forge.roles["targets"].version = 1
        with pytest.raises(Exception, match="timestamp key"):
            await office.found()
        for role in ("timestamp", "snapshot"):
            await office.names(role)
        await office.found()
        assert await office.tags() == {"v1", "v2"}
        new = await office.stored()
        assert files.read(new["timestamp"], files.role_kind("timestamp")).signed.version == 3
        assert (await office.notary.file(GUN, "root", 1, "")).file.data == new["root"] != old["root"]
        import hashlib

        by_hash = (await office.notary.file(GUN, "targets", None, hashlib.sha256(old["targets"]).hexdigest())).file
        assert by_hash.data == old["targets"]
        assert [change.category for change in await office.notary.changes(GUN, None, 9)][2:3] == ["deletion"]

    play(scene)


def test_a_signer_is_removed_and_added_again(play: Play) -> None:
    async def scene(it: Scene) -> None:
        office = await Office(it).ready()
        await office.found()
        pair, forge = ecdsa(), office.forge
        targets = forge.roles["targets"]
        for number in range(3):
            forge.delegate(role_of("targets/releases", pair[0]), tags("signed"), pair)
            forge.roles["targets/releases"].expires = forge.expires
            targets.version += 1
            await office.publishing.publish(GUN, office.upload("targets", "targets/releases"), ALICE)
            assert await office.tags() == {"v1", "signed"}, number
            forge.roles["targets/releases"].version = 2
            await office.publishing.publish(GUN, office.upload("targets/releases"), ALICE)
            assert (await office.notary.file(GUN, "targets/releases", None, "")).file.version == 2
            assert targets.delegations is not None
            assert targets.delegations.roles is not None
            del targets.delegations.roles["targets/releases"]
            targets.version += 1
            await office.publishing.publish(GUN, office.upload("targets"), ALICE)
            assert await office.tags() == {"v1"}
            with pytest.raises(NotFound):
                await office.notary.file(GUN, "targets/releases", None, "")
        assert "delegated" not in (await office.expiries.now()).roles

    play(scene)


def test_one_repository_has_one_format(play: Play) -> None:
    async def scene(it: Scene) -> None:
        office = await Office(it).ready()
        await office.found()
        with pytest.raises(WrongFormat) as told:
            await office.tuf.publish(GUN, {}, ALICE)
        assert told.value.context["format"] == "docker"
        with pytest.raises(WrongFormat):
            await office.tuf.online_keys(GUN, ALICE)
        await office.notary.delete(GUN, OLGA)
        keys = await office.tuf.online_keys(GUN, ALICE)
        assert {key.keytype for key in keys.values()} == {"ed25519"}
        publisher = type("Bound", (Publisher,), {"online": property(lambda _: keys)})(GUN)
        first = publisher.first_upload("v7", now=it.now)
        for role, data in first.items():
            signed = tuf1.read(data, tuf1.role_kind(role)).signed
            signed.version = 2
            signer = publisher.root if role == "root" else publisher.repository
            first[role] = tuf1.sign(signed, publisher.signed(signer))
        await office.tuf.publish(GUN, first, ALICE)
        assert await office.tags() == {"v7"}
        with pytest.raises(WrongFormat):
            await office.found()
        with pytest.raises(WrongFormat):
            await office.notary.file(GUN, "root", None, "")
        with pytest.raises(WrongFormat):
            await office.notary.delete(GUN, OLGA)

    play(scene)


def test_after_a_backup_what_the_service_signs_jumps_ahead(play: Play) -> None:
    async def scene(it: Scene) -> None:
        office = await Office(it).ready()
        await office.found()
        recovery = Recovery(it.store, office.keys, Lifetimes(), 1000, "root", it.now)
        done = await recovery.run(None)
        assert (done.versions, done.failed) == ({GUN: {"snapshot": 1002, "timestamp": 1002}}, {})
        office.views.forget(GUN)
        assert await office.tags() == {"v1"}
        assert (await office.signs("v2"))["snapshot"] == 1003

    play(scene)


def test_keys_elsewhere_found_nothing(play: Play) -> None:
    """A key service's keys are not of this format; who wants one is told, and nothing is made."""

    async def scene(it: Scene) -> None:
        anvil = Anvil()
        office = Office(it, OnlineKeys(Sealer(b"k" * 32), forge=anvil, places=anvil))
        await office.people()
        with pytest.raises(StateError, match="format docker") as told:
            await office.notary.key(GUN, "timestamp", ALICE)
        assert "trustkit" in told.value.hint
        with pytest.raises(StateError, match="format docker"):
            await office.found()

    play(scene)


def test_what_is_no_key_opens_nothing() -> None:
    for private in (ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())):
        raw = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        for damaged in (raw[:-3], b"", *([raw] if isinstance(private, ed25519.Ed25519PrivateKey) else [])):
            with pytest.raises(StateError):
                opened(damaged)


def test_the_evaluations_are_not_mistaken_for_each_other(play: Play) -> None:
    async def scene(it: Scene) -> None:
        office = await Office(it).ready()
        await office.found()
        with pytest.raises(Exception, match="is not"):
            evaluate_tuf(await office.stored(), GUN, it.now)

    play(scene)
