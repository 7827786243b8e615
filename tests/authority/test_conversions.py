"""Conversions on the real store: both sides from then on, renewed, recovered, reset and ended, by the clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import cast

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Root, Snapshot, Targets

from tests.authority.conftest import Play, Scene
from tests.authority.test_notary_publishing import ALICE, BOB, DAY, GUN, OLGA, Office
from tests.formats_docker.forge import RSA_2048, Pair, RawSigner, certified, ecdsa, role_of, tags
from trustkit.authority.convert import Conversions
from trustkit.authority.founders import Change, add_founders
from trustkit.authority.means import Means
from trustkit.authority.onlinekeys import OnlineKeys
from trustkit.authority.recover import Recovery
from trustkit.authority.renew import Renewal
from trustkit.authority.reset import Resetting
from trustkit.authority.sealing import Sealer
from trustkit.authority.settings import set_content_trust, set_policy
from trustkit.core.convertbuild import Converted, build_conversion, freeze
from trustkit.core.convertplan import plan_conversion
from trustkit.core.draft import Draft
from trustkit.core.formats import tuf1
from trustkit.core.formats.docker import files
from trustkit.core.formats.docker.bare import as_tuf
from trustkit.core.formats.docker.conversion import is_end
from trustkit.core.formats.docker.draft import DockerDraft
from trustkit.core.formats.docker.evaluate import evaluate
from trustkit.core.growth import Growth
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.names import Gun
from trustkit.core.patterns import RepositoryPattern
from trustkit.core.ports.former import FormerRecord
from trustkit.core.ports.service import StoredFile
from trustkit.core.ports.signing import SeparateSigner
from trustkit.errors import (
    Conflict,
    Expired,
    NoCollection,
    NotFound,
    NotTrusted,
    RoleMissing,
    TrustDisabled,
    WrongFormat,
)


class Bureau(Office):
    """Where a collection of Docker is converted, too."""

    def __init__(self, it: Scene) -> None:
        super().__init__(it)
        self.conversions = Conversions(self.means)

    async def made(self, until: datetime) -> tuple[dict[str, bytes], dict[str, bytes]]:
        """What an honest client uploads, signed by all keys of the forge."""
        stored = await self.stored()
        plan = plan_conversion(stored, evaluate(stored, GUN, self.it.now), self.it.now)
        assert plan.problems == ()
        state = await self.conversions.prepare(GUN, ALICE)
        built = build_conversion(
            plan, state.keys, now=self.it.now, lifetimes=Lifetimes(), last=state.last, growth=self.growth
        )
        draft = DockerDraft(GUN, stored, now=self.it.now, lifetimes=Lifetimes(), holds=lambda _role, _keys: True)
        freeze(draft, until)
        changed = {role: draft.root if role == "root" else draft.files[role] for role in draft.changed}
        docker = {role: files.sign(signed, self.forge.signers[role]) for role, signed in changed.items()}
        if "snapshot" not in self.managed:
            snapshot = draft.snapshot(docker)
            snapshot.expires = until
            docker["snapshot"] = files.sign(snapshot, self.forge.signers["snapshot"])
        return self.signed(built), docker

    managed: frozenset[str] = frozenset({"snapshot"})
    growth = Growth()

    def signed(self, built: Converted) -> dict[str, bytes]:
        named = {"root": "root", "targets": "targets", "releases": "targets/releases"}
        holder = named[built.bins.holder] if built.bins else ""
        payloads: Mapping[str, Root | Targets] = {"root": built.root, **built.files}
        return {role: self.signs_in_tuf(payload, named.get(role, holder)) for role, payload in payloads.items()}

    def signs_in_tuf(self, payload: Root | Targets, role: str) -> bytes:
        signers = {as_tuf(key).keyid: crypto(pair) for pair in self.forge.signers[role] for key in [pair[0]]}
        return tuf1.sign(payload, signers)

    async def converted(self, days: float = 90) -> datetime:
        until = (self.it.now + timedelta(days=days)).replace(microsecond=0)
        await self.conversions.convert(GUN, *await self.made(until), ALICE)
        return until

    async def frozen(self) -> dict[str, bytes]:
        async with self.it.store.read() as tx:
            return {role: file.data for role, file in (await tx.former.current(GUN)).items()}

    async def former(self) -> FormerRecord:
        async with self.it.store.read() as tx:
            record = await tx.former.get(GUN)
        assert record is not None
        return record

    async def served(self, role: str, version: int | None = None) -> StoredFile:
        return (await self.notary.file(GUN, role, version, "")).file

    async def publish(self, *, drop: str = "") -> None:
        """A publish in format tuf: v1 is signed for what it was, or a tag withdrawn."""
        stored = await self.stored()
        draft = Draft(GUN, stored, now=self.it.now, lifetimes=Lifetimes())
        if drop:
            draft.drop([drop])
        else:
            draft.edit()
        payloads = cast("Mapping[str, Targets]", draft.changed)
        await self.tuf.publish(
            GUN, {role: self.signs_in_tuf(payload, "targets") for role, payload in payloads.items()}, ALICE
        )


def crypto(pair: Pair) -> CryptoSigner:
    signer = pair[1]
    return signer if isinstance(signer, CryptoSigner) else CryptoSigner(cast("RawSigner", signer).private)


async def opened(it: Scene) -> Bureau:
    office = Bureau(it)
    await office.ready()
    await office.found()
    await office.signs("v1", "v2")
    return office


def test_both_sides_say_the_same_and_only_one_is_counted(play: Play) -> None:
    async def scene(it: Scene) -> None:
        office = await opened(it)
        before = await office.stored()
        until = await office.converted()
        assert await office.tags() == {"v1", "v2"}
        view = evaluate(await office.frozen(), GUN, it.now)
        assert {str(tag) for tag in view.targets} == {"v1", "v2"}
        assert view.versions == {"root": 2, "targets": 3, "snapshot": 3, "timestamp": 3}
        assert view.expires == it.now + timedelta(days=7)
        after = {role: tuf1.read(data, tuf1.role_kind(role)).signed for role, data in (await office.stored()).items()}
        assert {role: signed.version for role, signed in after.items()} == dict.fromkeys(after, 1)
        assert await office.former() == FormerRecord(GUN, it.now, until)
        expiry = await office.expiries.now()
        assert (expiry.collections, set(expiry.roles)) == (1, {"root", "targets", "snapshot", "timestamp"})
        assert (await it.audit())[-1].detail["docker_until"] == until.isoformat()
        assert (await office.served("root", 1)).data == before["root"]
        changes = await office.notary.changes(GUN, 0, 100)
        assert [change.version for change in changes] == [1, 2, 3]

    play(scene)


def test_the_frozen_side_is_renewed_up_to_its_end_and_no_further(play: Play) -> None:
    async def scene(it: Scene) -> None:
        office = await opened(it)
        until = await office.converted(days=20)
        for _ in range(19):
            it.now += DAY
            report = await office.renewal.round()
            assert report.failed == {}
            view = evaluate(await office.frozen(), GUN, it.now)
            assert it.now < view.expires <= until
        last = (await office.frozen())["timestamp"]
        it.now = until
        await office.renewal.round()
        assert (await office.frozen())["timestamp"] == last
        with pytest.raises(Expired):
            evaluate(await office.frozen(), GUN, it.now)
        with pytest.raises(WrongFormat, match="was converted to TUF 1"):
            await office.served("timestamp")
        assert await office.tags() == {"v1", "v2"}

    play(scene)


def test_a_side_that_lives_for_years_has_its_snapshot_renewed_before_docker_warns(play: Play) -> None:
    async def scene(it: Scene) -> None:
        office = await opened(it)
        until = await office.converted(days=800)
        seen = set()
        for _ in range(130):
            it.now += 6 * DAY
            await office.renewal.round()
            frozen = await office.frozen()
            snapshot = files.read(frozen["snapshot"], files.role_kind("snapshot")).signed
            assert snapshot.expires <= until
            assert snapshot.expires - it.now > 183 * DAY or snapshot.expires == until
            seen.add(snapshot.version)
            assert set(evaluate(frozen, GUN, it.now).targets)
        assert 2 < len(seen) < 10

    play(scene)


def test_what_takes_something_back_ends_it_and_nothing_else_does(play: Play) -> None:
    async def scene(it: Scene) -> None:
        office = await opened(it)
        await office.converted()
        await office.publish()
        assert (await office.former()).ended is None
        served = await office.served("timestamp")
        await office.publish(drop="v2")
        record = await office.former()
        assert (record.ended, record.reason) == (it.now, "v2 was revoked or signed anew since")
        closing = await office.served("timestamp")
        assert closing.version == served.version + 1
        assert closing.expires >= served.expires
        with pytest.raises(NotTrusted):
            evaluate(await office.frozen(), GUN, it.now)
        for role in ("snapshot", "targets"):
            with pytest.raises(WrongFormat, match="v2 was revoked"):
                await office.served(role)
        it.now += 30 * DAY
        await office.renewal.round()
        assert (await office.served("timestamp")).data == closing.data
        assert "docker-side-ended" in await it.actions()

    play(scene)


def test_its_publisher_ends_it_and_it_ends_once(play: Play) -> None:
    async def scene(it: Scene) -> None:
        office = await opened(it)
        with pytest.raises(NotFound, match="never converted"):
            await office.conversions.end(GUN, ALICE)
        assert await office.conversions.former(GUN) is None
        until = await office.converted()
        served = await office.served("timestamp")
        with pytest.raises(RoleMissing):
            await office.conversions.end(GUN, BOB)
        assert await office.conversions.former(GUN) == FormerRecord(GUN, it.now, until)
        ended = await office.conversions.end(GUN, ALICE)
        assert ended == await office.former() == await office.conversions.former(GUN)
        assert (ended.ended, ended.reason) == (it.now, "its publisher ended it")
        row = (await it.audit())[-1]
        assert (row.action, row.actor, row.source) == ("docker-side-ended", str(ALICE.principal), ALICE.source)
        closing = await office.served("timestamp")
        assert (closing.version, closing.expires >= served.expires) == (served.version + 1, True)
        assert is_end(closing.data)
        assert not is_end(served.data)
        with pytest.raises(WrongFormat, match="its publisher ended it"):
            await office.served("targets")
        rows = await it.actions()
        it.now += DAY
        assert await office.conversions.end(GUN, ALICE) == ended
        assert await it.actions() == rows
        assert await office.tags() == {"v1", "v2"}

    play(scene)


def test_what_is_over_by_its_final_expiry_needs_no_other_end(play: Play) -> None:
    async def scene(it: Scene) -> None:
        office = await opened(it)
        it.now = await office.converted(days=10)
        assert (await office.conversions.end(GUN, ALICE)).ended is None
        assert "docker-side-ended" not in await it.actions()
        with pytest.raises(NoCollection):
            await office.conversions.former(Gun.parse(f"{GUN}/other"))

    play(scene)


def test_a_side_that_can_not_be_renewed_is_told_of(play: Play) -> None:
    async def scene(it: Scene) -> None:
        office = await opened(it)
        await office.converted()
        it.now += 2 * DAY
        other = Renewal(Means(it.store, OnlineKeys(Sealer(b"o" * 32)), Lifetimes(), it.clock))
        report = await other.round()
        assert set(report.failed) == {str(GUN), f"{GUN} (docker)"}
        assert (await office.renewal.round()).failed == {}

    play(scene)


def test_after_a_backup_both_sides_jump(play: Play) -> None:
    async def scene(it: Scene) -> None:
        office = await opened(it)
        await office.converted()
        recovery = Recovery(it.store, office.keys, Lifetimes(), jump=1000, actor="operator", now=it.now)
        done = await recovery.run(None)
        assert done.failed == {}
        assert done.versions[GUN]["timestamp"] == 1002
        versions = evaluate(await office.frozen(), GUN, it.now).versions
        assert (versions["snapshot"], versions["timestamp"]) == (1004, 1004)

    play(scene)


def test_a_reset_ends_both_and_docker_never_begins_again(play: Play) -> None:
    async def scene(it: Scene) -> None:
        office = await opened(it)
        await office.converted()
        resetting = Resetting(office.means)
        await resetting.reset(GUN, OLGA, confirmed=str(GUN), why="deleted")
        assert (await office.former()).reason == "the collection was deleted"
        assert (await office.served("timestamp")).version == 4
        for asks in (office.found(), office.notary.key(GUN, "snapshot", ALICE), office.notary.delete(GUN, OLGA)):
            with pytest.raises(WrongFormat, match="was converted"):
                await asks
        with pytest.raises(WrongFormat, match="was converted"):
            await office.notary.next_key(GUN, "timestamp", ALICE)

    play(scene)


def test_whose_keys_they_are_counts_and_lists_of_founders_do_not(play: Play) -> None:
    async def scene(it: Scene) -> None:
        office = await opened(it)
        with pytest.raises(RoleMissing):
            await office.conversions.state(GUN, BOB)
        async with it.store.write() as tx:
            pattern = RepositoryPattern.parse("*")
            await add_founders(tx, pattern, {"ab" * 32}, Change("operator", "local", it.now))
        until = it.now + 90 * DAY
        upload = await office.made(until)
        for value, error in (("disabled", TrustDisabled), ("enabled", RoleMissing)):
            async with it.store.write() as tx:
                await set_content_trust(tx, value, actor="o", source="local", now=it.now)
            with pytest.raises(error):
                await office.conversions.convert(GUN, *upload, ALICE if value == "disabled" else BOB)
        await office.conversions.convert(GUN, *upload, ALICE)
        async with it.store.write() as tx:
            await set_policy(tx, "notary-api", "disabled", actor="o", source="local", now=it.now)
        with pytest.raises(TrustDisabled):
            await office.served("timestamp")
        assert await office.tags() == {"v1", "v2"}

    play(scene)


def test_there_has_to_be_something_to_convert(play: Play) -> None:
    async def scene(it: Scene) -> None:
        office = Bureau(it)
        await office.people()
        with pytest.raises(NoCollection):
            await office.conversions.prepare(GUN, ALICE)
        for role in ("timestamp", "snapshot"):
            await office.names(role)
        await office.found()
        upload = await office.made(it.now + 90 * DAY)
        async with it.store.write() as tx:
            await tx.former.begin(GUN, it.now, it.now)
        with pytest.raises(WrongFormat):
            await office.conversions.convert(GUN, *upload, ALICE)

    play(scene)


def test_what_was_signed_meanwhile_is_a_conflict_that_names_the_versions(play: Play) -> None:
    async def scene(it: Scene) -> None:
        office = await opened(it)
        upload = await office.made(it.now + 90 * DAY)
        await office.signs("v1", "v2", "v3")
        with pytest.raises(Conflict) as told:
            await office.conversions.convert(GUN, *upload, ALICE)
        assert told.value.context["versions"] == {"root": 1, "targets": 3, "snapshot": 3, "timestamp": 3}
        await office.converted()
        assert await office.tags() == {"v1", "v2", "v3"}

    play(scene)


@pytest.mark.parametrize("curve", [ec.SECP256R1, ec.SECP384R1, None], ids=["P-256", "P-384", "RSA"])
def test_keys_of_each_kind_go_on(play: Play, curve: type[ec.EllipticCurve] | None) -> None:
    async def scene(it: Scene) -> None:
        office = Bureau(it)
        private = RSA_2048 if curve is None else ec.generate_private_key(curve())
        if curve is not ec.SECP256R1:
            office.forge.signers["targets"] = [pair_of(private)]
        else:
            office.forge.signers["root"] = [certified(private, GUN, now=it.now)]
        await office.ready()
        await office.found()
        signer = pair_of(private) if curve is None else ecdsa()
        office.forge.delegate(role_of("targets/releases", signer[0]), tags("v7"), signer)
        office.forge.roles["targets/releases"].expires = office.forge.expires
        targets = office.forge.roles["targets"]
        targets.version += 1
        if curve is not None:  # one key is no signer's and the repository's
            await office.publishing.publish(GUN, office.upload("targets", "targets/releases"), ALICE)
        await office.converted()
        assert await office.tags() == ({"v1"} if curve is None else {"v1", "v7"})

    play(scene)


def pair_of(private: ec.EllipticCurvePrivateKey | object) -> Pair:
    from trustkit.core.formats.docker.keys import from_public

    return from_public(private.public_key()), RawSigner(private)  # type: ignore[attr-defined,arg-type]


def test_a_publishers_snapshot_goes_along(play: Play) -> None:
    async def scene(it: Scene) -> None:
        office = Bureau(it)
        office.managed = frozenset()
        await office.ready(snapshot=False)
        upload = office.upload("root", "targets")
        meta = {files.meta_name(role): files.meta_of(data) for role, data in upload.items()}
        made = Snapshot(1, None, it.now + 300 * DAY, meta)
        upload["snapshot"] = files.sign(made, office.forge.signers["snapshot"])
        await office.publishing.publish(GUN, upload, ALICE)
        until = await office.converted()
        assert evaluate(await office.frozen(), GUN, it.now).expires <= until
        it.now += 6 * DAY
        await office.renewal.round()
        frozen = await office.frozen()
        assert evaluate(frozen, GUN, it.now).versions["snapshot"] == made.version + 1

    play(scene)


@pytest.mark.parametrize("signers", [False, True], ids=["targets", "releases"])
def test_a_large_collection_begins_in_bins(play: Play, *, signers: bool) -> None:
    async def scene(it: Scene) -> None:
        office = await opened(it)
        office.growth = Growth(above=5, bits=3)
        names = {"v1", "v2"} if signers else {f"t{number}" for number in range(40)}
        await office.signs(*names)
        if signers:
            signer, released = ecdsa(), {f"t{number}" for number in range(40)}
            office.forge.delegate(role_of("targets/releases", signer[0]), tags(*released), signer)
            office.forge.roles["targets/releases"].expires = office.forge.expires
            office.forge.roles["targets"].version += 1
            await office.publishing.publish(GUN, office.upload("targets", "targets/releases"), ALICE)
            names |= released
        await office.converted()
        stored = await office.stored()
        assert {role for role in stored if role.startswith("bins-")} == {f"bins-1-{number}" for number in range(8)}
        assert await office.tags() == names

    play(scene)


def test_keys_that_lie_in_the_database_stay_there(play: Play) -> None:
    """A separate signer has no part in the other side, so both could come apart; none is asked here."""

    async def scene(it: Scene) -> None:
        office = await opened(it)
        office.keys = OnlineKeys(Sealer(b"k" * 32), cast("SeparateSigner", object()))
        office.conversions = Conversions(Means(it.store, office.keys, Lifetimes(), it.clock))
        await office.converted()
        async with it.store.read() as tx:
            assert not await office.keys.are_elsewhere(tx, GUN)
        assert await office.tags() == {"v1", "v2"}

    play(scene)


def test_the_record_says_when_it_is_over() -> None:
    now = datetime.now().astimezone()
    record = FormerRecord(GUN, now - DAY, now + DAY)
    assert not record.over(now)
    assert record.over(now + DAY)
    assert replace(record, ended=now).over(now)
