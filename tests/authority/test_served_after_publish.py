"""What a publish has just made is served from memory, and nothing that isn't current any more."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from tests.authority.conftest import Play, Scene
from tests.authority.test_notary_publishing import ALICE, GUN, Office
from tests.formats_docker.forge import ecdsa, role_of, tags
from trustkit.authority.freshness import Freshness
from trustkit.authority.means import Means
from trustkit.authority.notary import Notary
from trustkit.authority.notary_publish import NotaryPublishing
from trustkit.authority.reads import Reads
from trustkit.authority.reset import Resetting
from trustkit.core.lifetimes import Lifetimes
from trustkit.errors import NotFound
from trustkit.store.database import SqlStore

ROLES = ("root", "timestamp", "snapshot", "targets")


async def remembering(it: Scene) -> tuple[Office, Freshness, Reads, Notary]:
    """A publisher's office whose service keeps files in memory, as ``serve`` wires it."""
    office = await Office(it).ready()
    fresh = Freshness(clock=it.clock)
    fresh.told = it.store.tell_own(fresh.forget_these)
    reads = Reads(it.store, fresh, clock=it.clock)
    notary = Notary(it.store, office.keys, Resetting(office.means), clock=it.clock, reads=reads)
    office.publishing = NotaryPublishing(replace(office.means, changed=lambda _: None), served=notary.served)
    return office, fresh, reads, notary


async def same(notary: Notary, without_memory: Notary, role: str) -> bytes:
    """A file by its name and by its hash, which a service without a memory gives alike."""
    by_name = (await notary.file(GUN, role, None, "")).file.data
    assert by_name == (await without_memory.file(GUN, role, None, "")).file.data
    digest = hashlib.sha256(by_name).hexdigest()
    assert (await notary.file(GUN, role, None, digest)).file.data == by_name
    return by_name


def test_after_a_publish_its_readers_are_answered_from_memory(play: Play) -> None:
    async def scene(it: Scene) -> None:
        office, _, reads, notary = await remembering(it)
        await office.found()
        for version, tag in enumerate(("v1", "v2", "v3"), start=2):
            await office.signs(tag)
            read = dict(reads.counts)
            found = {role: await same(notary, office.notary, role) for role in ROLES}
            assert reads.counts["file"] == read["file"] + 2 * len(ROLES)
            assert reads.counts["nothing"] == read["nothing"], "nothing was read"
            assert tag.encode() in found["targets"]
            assert (await notary.file(GUN, "targets", None, "")).file.version == version

    play(scene)


def test_what_another_process_commits_next_is_not_hidden_by_it(play: Play) -> None:
    async def scene(it: Scene) -> None:
        office, fresh, _, notary = await remembering(it)
        await office.found()
        mark = (await it.store.changed_since("")).mark
        await office.signs("v1")
        theirs = await SqlStore.open(it.folder / "trustkit.db")
        elsewhere = NotaryPublishing(Means(theirs, office.keys, Lifetimes(), it.clock))
        office.publishing = elsewhere
        await office.signs("v2")
        changed = await it.store.changed_since(mark)
        assert changed.guns is None
        fresh.forget_these(changed.guns)
        assert b"v2" in await same(notary, office.notary, "targets")
        await theirs.close()

    play(scene)


def test_a_delegation_that_a_publish_drops_is_gone_at_once(play: Play) -> None:
    async def scene(it: Scene) -> None:
        office, _, reads, notary = await remembering(it)
        await office.found()
        role, forge, pair = "targets/releases", office.forge, ecdsa()
        targets = forge.roles["targets"]
        targets.version += 1
        forge.delegate(role_of(role, pair[0]), tags("signed"), pair)
        forge.roles[role].expires = forge.expires
        await office.publishing.publish(GUN, office.upload("targets", role), ALICE)
        read = dict(reads.counts)
        assert b"signed" in await same(notary, office.notary, role)
        assert reads.counts["nothing"] == read["nothing"], "nothing was read"
        targets.version += 1
        assert targets.delegations is not None
        assert targets.delegations.roles is not None
        del targets.delegations.roles[role]
        await office.publishing.publish(GUN, office.upload("targets"), ALICE)
        with pytest.raises(NotFound):
            await notary.file(GUN, role, None, "")

    play(scene)


def test_without_a_database_that_tells_nothing_is_kept(play: Play) -> None:
    """Somebody else's later commit may have been told already when ours returns: where nobody can say, it is read."""

    async def scene(it: Scene) -> None:
        office, fresh, reads, notary = await remembering(it)
        fresh.told = False
        await office.found()
        assert reads.bytes == 0
        await notary.file(GUN, "targets", None, "")
        assert reads.counts["nothing"] == 1

    play(scene)
