"""Pruning where docker and notary read: by hash, after what their timestamp names; before a conversion and after."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tuf.api.metadata import Snapshot, Timestamp

from tests.authority.conftest import Play, Scene
from tests.authority.test_conversions import Bureau
from tests.authority.test_notary_publishing import ALICE, DAY, GUN, OLGA
from tests.formats_docker.forge import ecdsa, role_of, tags
from trustkit.authority.pruning import Pruning
from trustkit.authority.settings import set_policy
from trustkit.core.evaluate import evaluate as evaluate_tuf
from trustkit.core.formats.docker import files
from trustkit.core.formats.docker.evaluate import evaluate
from trustkit.core.ports.past import Shelf
from trustkit.errors import NotFound, WrongFormat

RELEASES = "targets/releases"


class Pruned(Bureau):
    """A collection that docker signs, renewed, pruned, and perhaps converted."""

    def __init__(self, it: Scene) -> None:
        super().__init__(it)
        self.pruning = Pruning(it.store, clock=it.clock)
        self.signs_on = True
        self.releases = ecdsa()
        self.read: list[tuple[datetime, bytes]] = []
        self.shown: dict[tuple[str, int, bool], bytes] = {}

    async def began(self) -> Pruned:
        await self.ready()
        await self.found()
        await self.signs("v1", "v2")
        return self

    async def history(self, text: str) -> None:
        async with self.it.store.write() as tx:
            await set_policy(tx, "history", text, actor="op", source="", now=self.it.now)

    async def prune(self, text: str) -> int:
        await self.history(text)
        done = await self.pruning.prune()
        assert done.failed == {}
        return done.files

    async def delegate(self) -> None:
        targets, forge = self.forge.roles["targets"], self.forge
        if RELEASES in forge.roles and targets.delegations and targets.delegations.roles:
            del targets.delegations.roles[RELEASES], forge.roles[RELEASES]
            roles = ["targets"]
        else:
            forge.delegate(role_of(RELEASES, self.releases[0]), tags("signed"), self.releases)
            forge.roles[RELEASES].expires = forge.expires
            roles = ["targets", RELEASES]
        targets.version += 1
        await self.publishing.publish(GUN, self.upload(*roles), ALICE)

    async def by_docker(self, timestamp: bytes) -> Mapping[str, bytes]:
        """What a stock client fetches after this timestamp; raises NotFound."""
        found = {"timestamp": timestamp}
        meta = files.read(timestamp, Timestamp).signed.snapshot_meta
        found["snapshot"] = await self._hashed("snapshot", meta.hashes)
        for role, named in files.read(found["snapshot"], Snapshot).signed.meta.items():
            name = role.removesuffix(".json")
            found[name] = await self._hashed(name, named.hashes)
        return found

    async def _hashed(self, role: str, hashes: dict[str, str] | None) -> bytes:
        assert hashes
        return (await self.notary.file(GUN, role, None, hashes["sha256"])).file.data

    async def check(self) -> None:
        """Everybody reads: who begins now, who began within the day, and who asks for roots."""
        timestamp = (await self.served("timestamp")).data
        self.read.append((self.it.now, timestamp))
        for at, read in {data: (at, data) for at, data in self.read}.values():
            if self.it.now - at < DAY:
                assert evaluate(dict(await self.by_docker(read)), GUN, at).targets
        root = await self.served("root")
        for version in range(1, root.version + 1):
            data = (await self.served("root", version)).data
            assert self.shown.setdefault(("root", version, True), data) == data


def play_it(scene) -> None:
    async def run() -> None:
        from trustkit.store.database import SqlStore

        with tempfile.TemporaryDirectory(prefix="pruned-") as folder:
            store = await SqlStore.open(Path(folder) / "trustkit.db")
            try:
                await scene(Scene(store, Path(folder)))
            finally:
                await store.close()

    asyncio.run(run())


WHAT = [*["sign"] * 3, "delegate", *["time"] * 4, *["prune"] * 3]


@settings(
    max_examples=5,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(
    st.lists(st.tuples(st.sampled_from(WHAT), st.integers(0, 11)), min_size=8, max_size=16),
    st.lists(st.tuples(st.sampled_from(["sign", "time", "time", "prune"]), st.integers(0, 11)), max_size=8),
)
def test_docker_reads_on_before_and_after_a_conversion(
    before: list[tuple[str, int]], after: list[tuple[str, int]]
) -> None:
    async def scene(it: Scene) -> None:
        office = await Pruned(it).began()
        await office.check()
        for what, number in [*before, ("prune", 0)]:
            await happens(office, what, number)
            await office.check()
        until = await office.converted()
        for what, number in [*after, ("time", 0), ("prune", 0)]:
            if what == "sign":
                await office.publish()
            elif what != "delegate":
                await happens(office, what, number)
            assert (await office.former()).ended is None
            if it.now < until:
                await office.check()
            assert evaluate_tuf(await office.stored(), GUN, it.now).targets

    play_it(scene)


async def happens(office: Pruned, what: str, number: int) -> None:
    if what == "sign":
        await office.signs("v1", "v2", f"v{number}")
    elif what == "delegate":
        await office.delegate()
    elif what == "prune":
        await office.prune(["1d", "1v", "2d,1v"][number % 3])
    else:
        office.it.now += timedelta(hours=[1, 5, 23, 25][number % 4])
        assert (await office.renewal.round()).failed == {}


def test_a_side_that_was_ended_says_so_for_good(play: Play) -> None:
    """Its closing timestamp and its roots stay, whatever is pruned."""

    async def scene(it: Scene) -> None:
        office = await Pruned(it).began()
        for _ in range(5):
            it.now += DAY
            await office.renewal.round()
        await office.converted()
        for _ in range(5):
            it.now += DAY
            await office.renewal.round()
        await office.publish(drop="v2")
        closing = await office.served("timestamp")
        it.now += 3 * DAY
        _, looked = await office.pruning.look()
        assert await office.prune("1d") > 8
        assert {shelf.frozen for shelf, held in looked.items() if held.past} == {True, False}
        assert (await office.served("timestamp")).data == closing.data
        with pytest.raises(WrongFormat):
            await office.served("snapshot")
        assert [(await office.served("root", version)).version for version in (1, 2)] == [1, 2]
        details = [row.detail for row in await it.audit() if row.action == "history-pruned"]
        assert "docker" in {detail.get("format") for detail in details}

    play(scene)


def test_what_was_deleted_and_founded_anew_keeps_the_last_of_each(play: Play) -> None:
    """Versions of the new one begin in a series of their own; the old one's roots and last files stay."""

    async def scene(it: Scene) -> None:
        office = await Pruned(it).began()
        await office.signs("v3")
        old = await office.stored()
        await office.notary.delete(GUN, OLGA)
        office.forge.roles["targets"].version = 1
        for role in ("timestamp", "snapshot"):
            await office.names(role)
        await office.found()
        it.now += 2 * DAY
        await office.renewal.round()
        assert await office.prune("1d") > 0
        await office.check()
        assert (await office._hashed("targets", {"sha256": _sha256(old["targets"])})) == old["targets"]
        assert (await office._hashed("root", {"sha256": _sha256(old["root"])})) == old["root"]
        with pytest.raises(NotFound):
            await office.served("targets", 2)

    play(scene)


def test_both_sides_of_a_conversion_are_pruned_and_the_last_versions_stay_known(play: Play) -> None:

    async def scene(it: Scene) -> None:
        office = await Pruned(it).began()
        await office.converted()
        async with it.store.read() as tx:
            shelves = await tx.past.shelves()
        assert shelves == [Shelf(GUN, 1, frozen=True), Shelf(GUN, 2)]
        for _ in range(3):
            await office.publish()
            it.now += DAY
        before = await office.stored()
        it.now += 2 * DAY
        await office.prune("1d")
        assert await office.stored() == before
        async with it.store.read() as tx:
            assert (await tx.former.versions(GUN))["targets"] == 4

    play(scene)


def _sha256(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()
