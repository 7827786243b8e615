"""Whoever makes up names, tags, scopes or manifests has the service remember no more of them than it may.

Each test makes more than is kept, and looks at what the service says that it keeps.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path

import pytest

from tests.authority.conftest import NOW, Play, Scene
from tests.simulator import OCI, Publisher
from trustkit.authority.freshness import MOST_MOVES, Freshness
from trustkit.authority.login import TokenRequest, TokenService
from trustkit.authority.means import Means
from trustkit.authority.onlinekeys import OnlineKeys
from trustkit.authority.publish import Publishing, Requester
from trustkit.authority.sealing import Sealer
from trustkit.authority.tokenkeys import TokenKeys
from trustkit.authority.tokens import Access, TokenIssuer, TokenVerifier
from trustkit.authority.views import OF_A_VIEW, Views
from trustkit.core.access import Role
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.manifests import OCI_INDEX
from trustkit.core.names import Digest, Gun, Host, PrincipalName, Repository
from trustkit.core.ports.images import ManifestBytes
from trustkit.gateway.held import OVERHEAD, HeldManifests
from trustkit.gateway.layout import Indexes, Layout
from trustkit.gateway.reach import Reach
from trustkit.gateway.uploads import RunningHashes

HOME, PASSWORD = "registry.example.com", "correct horse battery"
ALICE = PrincipalName("alice")
APP = Repository("team/app")


class Registry:
    """Has whatever manifest is asked for: an index of so many images that nobody pushed, or the digest itself."""

    def __init__(self, children: int = 0) -> None:
        self._children = children
        self._indexes: dict[Digest, bytes] = {}

    def index(self, number: int) -> Digest:
        listed = [
            {"mediaType": OCI, "digest": str(Digest.of(b"%d/%d" % (number, child))), "size": 2}
            for child in range(self._children)
        ]
        data = json.dumps({"schemaVersion": 2, "manifests": listed}).encode()
        digest = Digest.of(data)
        self._indexes[digest] = data
        return digest

    async def manifest(self, repository: Repository, digest: Digest) -> ManifestBytes | None:
        if digest in self._indexes:
            return ManifestBytes(digest, OCI_INDEX, self._indexes.pop(digest))
        return ManifestBytes(digest, OCI, digest.hex.encode())

    async def resolve(self, repository: Repository, tag: object) -> Digest | None:
        raise NotImplementedError


def test_tokens_with_as_many_scopes_as_a_token_has(play: Play) -> None:
    async def scene(it: Scene) -> None:
        keys = await TokenKeys.open(it.store, Sealer(b"k" * 32), issuer=HOME, now=it.now)
        issuer = TokenIssuer(keys, issuer=HOME)
        verifier = TokenVerifier(keys.certificate, issuer=HOME, audience=HOME, clock=it.clock, limit=200)
        sizes = []
        for number in range(20):
            access = [Access("repository", f"made-up/{number}-{each}", frozenset({"pull"})) for each in range(32)]
            issued = issuer.issue(ALICE, audience=HOME, access=access, now=NOW)
            verifier.verify(issued.text)
            sizes.append(verifier.size)
        assert sizes[:2] == [33, 66]
        assert max(sizes) == sizes[-1] == 198

    play(scene)


def test_what_refresh_tokens_get_for_scopes_with_as_many_actions_as_fit(play: Play) -> None:
    async def scene(it: Scene) -> None:
        await it.person("alice", Role.ACR_PULL, password=PASSWORD)
        keys = await TokenKeys.open(it.store, Sealer(b"k" * 32), issuer=HOME, now=it.now)
        issuer, hosts, limit = TokenIssuer(keys, issuer=HOME), (Host.parse(HOME),), 1_000_000
        parts = {"hosts": hosts, "clock": it.clock, "fresh": Freshness(clock=it.clock), "limit": limit}
        service = TokenService(it.store, issuer, it.passwords, services={HOME: False}, **parts)  # type: ignore[arg-type]  # one of each
        login = await service.by_password(TokenRequest(HOME, offline=True), "alice", PASSWORD)
        assert login.refresh_token is not None
        words = ",".join(f"{number:03}" for number in range(240))
        sizes = []
        for number in range(20):
            scopes = tuple(f"repository:made-up/{number}-{each}:{words}" for each in range(32))
            await service.by_refresh(TokenRequest(HOME, scopes), login.refresh_token)
            sizes.append(service.size)
        assert sizes[0] > 700_000, "nearly what Python takes for 32 sets of 240 words"
        assert max(sizes) <= limit

    play(scene)


def test_names_of_collections_that_somebody_makes_and_changes() -> None:
    """Nothing that was read before its collection changed counts, however many change."""
    fresh = Freshness(clock=lambda: NOW)
    names = [Gun.parse(f"{HOME}/made-up/app{number}") for number in range(MOST_MOVES + 2)]
    fresh.forget(names[0])
    before = {name: fresh.stamp(name.repository) for name in (*names[:2], names[-1])}
    assert all(fresh.counts(stamp, NOW) for stamp in before.values())
    for name in names:
        fresh.forget(name)
        assert fresh.size <= MOST_MOVES
    assert not any(fresh.counts(stamp, NOW) for stamp in before.values())
    after = fresh.stamp(names[1].repository)
    fresh.forget(names[1])
    assert not fresh.counts(after, NOW)


def test_manifests_that_are_next_to_nothing() -> None:
    async def run() -> None:
        held = HeldManifests(Registry(), keep=60.0, limit=100 * (OVERHEAD + 64))
        for number in range(200):
            await held.get(APP, Digest.of(b"%d" % number))
        assert held.size == 100 * (OVERHEAD + 64)

    asyncio.run(run())


def test_indexes_of_as_many_children_as_an_index_has() -> None:
    async def run() -> None:
        registry = Registry(children=999)
        reach, sizes = Reach(registry, keep=0.0, limit=5_000), []
        for number in range(8):
            await reach.below(APP, registry.index(number))
            sizes.append(reach.size)
        assert sizes[:2] == [1_000, 2_000]
        assert max(sizes) == sizes[-1] == 5_000

    asyncio.run(run())


def test_repositories_with_as_many_tags_as_one_likes(tmp_path: Path) -> None:
    indexes = Indexes(2_500)
    entry = {"mediaType": OCI, "digest": f"sha256:{'ab' * 32}", "size": 2}
    listed = [{**entry, "annotations": {"org.opencontainers.image.ref.name": f"v{tag}"}} for tag in range(1000)]
    for number in range(4):
        file = tmp_path / f"app{number}" / "_oci" / "index.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps({"schemaVersion": 2, "manifests": listed}))
        os.utime(file, (time.time() - 60,) * 2)
        layouts = [Layout(tmp_path / f"app{number}", RunningHashes(), indexes) for _ in range(2)]
        assert len(layouts[0].index().tags) == 1000
        assert layouts[0].index() is layouts[1].index(), "the newest is remembered"
    assert indexes.size == 2_002
    for number in range(50):
        assert not Layout(tmp_path / f"made-up{number}", RunningHashes(), indexes).index().tags
    assert indexes.size == 2_002


@pytest.mark.parametrize("tags", [5, 200])
def test_collections_with_as_many_tags_as_one_likes_and_names_without_any(play: Play, tags: int) -> None:
    limit, who = 100, Requester(ALICE, "192.0.2.1")

    async def scene(it: Scene) -> None:
        await it.person("alice", Role.ACR_PUSH, Role.ACR_IMAGE_SIGNER)
        keys = OnlineKeys(Sealer(b"k" * 32))
        views = Views(it.store, clock=it.clock, limit=limit)
        publishing = Publishing(Means(it.store, keys, Lifetimes(), it.clock))
        for number in range(limit // (tags + OF_A_VIEW) + 3):
            gun = Gun.parse(f"{HOME}/team/app{number}")
            publisher = Publisher(gun)
            made = await publishing.online_keys(gun, who)
            publisher.__class__ = type("Bound", (Publisher,), {"online": property(lambda _, made=made: made)})
            await publishing.publish(gun, publisher.first_upload(*(f"v{tag}" for tag in range(tags))), who)
            view = await views.view(gun.repository)
            assert view is not None
            assert len(view.targets) == tags
            counts = dict(views.counts)
            assert await views.view(gun.repository) is view, "the newest is remembered"
            assert dict(views.counts) == {**counts, "view": counts["view"] + 1}
            assert views.size <= max(limit, tags + OF_A_VIEW)
        for number in range(40):
            assert await views.view(Repository(f"made-up/app{number}")) is None
            assert views.size <= limit

    play(scene)
