"""What the gate keeps in memory: never longer, never more, and never an error (TRUST 7.1)."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field

import pytest

from trustkit.core.manifests import OCI_INDEX, OCI_MANIFEST
from trustkit.core.names import Digest, Repository, Tag
from trustkit.core.ports.images import ManifestBytes
from trustkit.errors import RegistryFailed
from trustkit.gateway.held import KEEP_BYTES, LARGEST, HeldManifests
from trustkit.gateway.reach import Reach
from trustkit.gateway.upstream import KEEP_SECONDS

APP, OTHER = Repository("team/app"), Repository("team/other")


@dataclass
class Slow:
    """A registry in memory that answers when it is told to; satisfies ``Images``."""

    stored: dict[tuple[Repository, Digest], ManifestBytes] = field(default_factory=dict)
    asked: list[Digest] = field(default_factory=list)
    go: asyncio.Event | None = None
    broken: bool = False

    def put(self, data: bytes, media_type: str = OCI_MANIFEST, repository: Repository = APP) -> Digest:
        manifest = ManifestBytes(Digest.of(data), media_type, data)
        self.stored[repository, manifest.digest] = manifest
        return manifest.digest

    async def manifest(self, repository: Repository, digest: Digest) -> ManifestBytes | None:
        self.asked.append(digest)
        if self.go is not None:
            await self.go.wait()
        if self.broken:
            raise RegistryFailed("It is broken.")
        return self.stored.get((repository, digest))

    async def resolve(self, repository: Repository, tag: Tag) -> Digest | None:
        raise NotImplementedError


class Seconds:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_it_is_kept_for_a_second_in_its_own_repository() -> None:
    async def run() -> None:
        images, clock = Slow(), Seconds()
        held, digest = HeldManifests(images, keep=KEEP_SECONDS, clock=clock), images.put(b"{}")
        assert await held.get(APP, digest) == await held.get(APP, digest)
        assert len(images.asked) == 1
        assert await held.get(OTHER, digest) is None
        del images.stored[APP, digest]
        clock.now = KEEP_SECONDS - 0.01
        assert await held.get(APP, digest) is not None
        clock.now = KEEP_SECONDS
        assert await held.get(APP, digest) is None
        assert await held.get(APP, digest) is None
        assert len(images.asked) == 4, "what isn't there is asked for each time"

    asyncio.run(run())


def test_without_keeping_only_who_asks_at_the_same_time_shares() -> None:
    async def run() -> None:
        images = Slow()
        held, digest = HeldManifests(images, keep=0.0), images.put(b"{}")
        assert await held.get(APP, digest) == await held.get(APP, digest)
        assert len(images.asked) == 2

    asyncio.run(run())


def test_fifty_who_ask_at_once_share_one_answer_also_when_the_first_goes_away() -> None:
    async def run() -> None:
        images = Slow(go=asyncio.Event())
        held, digest = HeldManifests(images, keep=KEEP_SECONDS), images.put(b"{}")
        asking = [asyncio.create_task(held.get(APP, digest)) for _ in range(50)]
        await asyncio.sleep(0)
        asking.pop(0).cancel()
        await asyncio.sleep(0)
        images.go.set()
        assert {found.data for found in await asyncio.gather(*asking)} == {b"{}"}
        assert len(images.asked) == 1

    asyncio.run(run())


def test_an_error_is_everybodys_and_is_not_kept() -> None:
    async def run() -> None:
        images = Slow(go=asyncio.Event(), broken=True)
        held, digest = HeldManifests(images, keep=KEEP_SECONDS), images.put(b"{}")
        asking = [asyncio.create_task(held.get(APP, digest)) for _ in range(3)]
        await asyncio.sleep(0)
        images.go.set()
        found = await asyncio.gather(*asking, return_exceptions=True)
        assert [type(one) for one in found] == [RegistryFailed] * 3
        images.broken = False
        assert await held.get(APP, digest) is not None

    asyncio.run(run())


def test_what_is_forgotten_while_it_is_fetched_is_not_kept() -> None:
    async def run() -> None:
        images = Slow(go=asyncio.Event())
        held, digest = HeldManifests(images, keep=KEEP_SECONDS), images.put(b"{}")
        before = asyncio.create_task(held.get(APP, digest))
        await asyncio.sleep(0)
        held.forget(APP, digest)
        images.go.set()
        assert await before is not None
        del images.stored[APP, digest]
        assert await held.get(APP, digest) is None

    asyncio.run(run())


@pytest.mark.parametrize(("size", "kept"), [(LARGEST, True), (LARGEST + 1, False)])
def test_memory_is_bounded(size: int, *, kept: bool) -> None:
    async def run() -> None:
        images = Slow()
        held, number = HeldManifests(images, keep=KEEP_SECONDS), KEEP_BYTES // LARGEST + 3
        digests = [images.put(index.to_bytes(2) + bytes(size - 2)) for index in range(number)]
        for digest in digests:
            await held.get(APP, digest)
        images.asked.clear()
        await held.get(APP, digests[-1])
        assert (images.asked == []) is kept
        await held.get(APP, digests[0])
        assert digests[0] in images.asked, "the oldest went"

    asyncio.run(run())


def index_of(*children: Digest) -> bytes:
    listed = [{"mediaType": OCI_MANIFEST, "digest": str(child), "size": 2} for child in children]
    return json.dumps({"schemaVersion": 2, "manifests": listed}).encode()


def test_what_an_index_reaches_is_read_once_and_what_was_missing_is_read_again() -> None:
    async def run() -> None:
        images, clock = Slow(), Seconds()
        reach, child = Reach(images, keep=KEEP_SECONDS), images.put(b"{}")
        reach.manifests = HeldManifests(images, keep=KEEP_SECONDS, clock=clock)
        data = index_of(child)
        assert await reach.below(APP, Digest.of(data)) == {}
        root = images.put(data, OCI_INDEX)
        assert set(await reach.below(APP, root)) == {child}
        clock.now, images.asked = 100 * KEEP_SECONDS, []
        images.stored.clear()
        assert set(await reach.below(OTHER, root)) == {child}, "it follows from the bytes"
        assert images.asked == []

    asyncio.run(run())
