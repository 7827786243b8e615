"""Which root keys may found collections, held in the publish's own transaction (TRUST 3.8)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.signer import CryptoSigner, Signer
from tuf.api.metadata import Metadata, Root

from tests.authority.conftest import NOW, Play, Scene
from tests.simulator import DAY, Publisher, make_signer, manifest
from trustkit.authority.founders import MAX_KEYS, Change, add_founders, founders_of, remove_founders
from trustkit.authority.means import Means
from trustkit.authority.onlinekeys import OnlineKeys
from trustkit.authority.publish import Publishing, Requester
from trustkit.authority.sealing import Sealer
from trustkit.core.access import Role
from trustkit.core.formats.tuf1 import read, sign
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.names import Gun, PrincipalName, Repository
from trustkit.core.patterns import RepositoryPattern
from trustkit.core.strictjson import serialise
from trustkit.errors import BadSignature, Conflict, FounderNotAllowed, InvalidSetting, NotFound, RoleMissing

ALICE = Requester(PrincipalName("alice"), "192.0.2.1")
APP = Gun.parse("registry.example.com/team/app")
LISTED, OTHER, STRANGER = make_signer(), make_signer(), make_signer()
A, B, C = "a" * 64, "b" * 64, "c" * 64


def pattern(text: str) -> RepositoryPattern:
    return RepositoryPattern.parse(text)


def change(it: Scene) -> Change:
    return Change("operator:root", "local", it.now)


async def allow(it: Scene, where: str, *keys: Signer | str) -> None:
    ids = [key if isinstance(key, str) else key.public_key.keyid for key in keys]
    async with it.store.write() as tx:
        await add_founders(tx, pattern(where), ids, change(it))


async def disallow(it: Scene, where: str, *ids: str) -> frozenset[str]:
    async with it.store.write() as tx:
        return await remove_founders(tx, pattern(where), ids, change(it))


class Desk:
    """The publish use case on a scene's store, with alice, who may sign everywhere."""

    def __init__(self, it: Scene) -> None:
        self.it = it
        keys = OnlineKeys(Sealer(b"k" * 32))
        self.publishing = Publishing(Means(it.store, keys, Lifetimes(), it.clock))

    @classmethod
    async def at(cls, it: Scene) -> Desk:
        await it.person("alice", Role.ACR_PUSH, Role.ACR_IMAGE_SIGNER)
        return cls(it)

    async def publisher(self, root: Signer, gun: Gun = APP) -> Publisher:
        """Somebody with this root key who names the service's real online keys."""
        keys = await self.publishing.online_keys(gun, ALICE)
        made = Publisher(gun, root=root)
        made.__class__ = type("Bound", (Publisher,), {"online": property(lambda _: keys)})
        return made

    async def found(self, root: Signer, gun: Gun = APP, bend: Callable[[bytes], bytes] = lambda data: data) -> None:
        upload = (await self.publisher(root, gun)).first_upload("v1")
        await self.publishing.publish(gun, upload | {"root": bend(upload["root"])}, ALICE)

    async def exists(self, gun: Gun = APP) -> bool:
        async with self.it.store.read() as tx:
            return await tx.collections.get(gun) is not None


def test_without_a_list_whoever_signs_first_claims_the_name_and_is_on_record(play: Play) -> None:
    async def scene(it: Scene) -> None:
        desk = await Desk.at(it)
        await desk.found(STRANGER)
        row = (await it.audit())[-1]
        assert (row.action, row.actor, row.source) == ("collection-founded", "alice", "192.0.2.1")
        assert row.detail["root_keys"] == [STRANGER.public_key.keyid]

    play(scene)


def test_a_strangers_root_key_founds_nothing_and_leaves_nothing(play: Play) -> None:
    async def scene(it: Scene) -> None:
        desk = await Desk.at(it)
        await allow(it, "team/*", LISTED, OTHER)
        await desk.publishing.online_keys(APP, ALICE)
        before = await it.audit()
        with pytest.raises(FounderNotAllowed) as caught:
            await desk.found(STRANGER)
        refused = caught.value
        assert refused.context["pattern"] == "team/*"
        assert refused.context["allowed"] == sorted([LISTED.public_key.keyid, OTHER.public_key.keyid])
        assert refused.context["root_keys"] == [STRANGER.public_key.keyid]
        assert "team/app" in refused.message
        assert LISTED.public_key.keyid[:16] in refused.hint
        assert not await desk.exists()
        assert await it.audit() == before
        for key in (LISTED, OTHER):
            gun = Gun.parse(f"registry.example.com/team/{key.public_key.keyid[:8]}")
            await desk.found(key, gun)
            assert await desk.exists(gun)

    play(scene)


def both(first: Signer, second: Signer, *signing: Signer, threshold: int = 1) -> Callable[[bytes], bytes]:
    """Bends a first root so that it has two root keys, signed by some of them."""

    def bend(data: bytes) -> bytes:
        root = read(data, Root).signed
        root.revoke_key(root.roles["root"].keyids[0], "root")
        for signer in (first, second):
            root.add_key(signer.public_key, "root")
        root.roles["root"].threshold = threshold
        return sign(root, {signer.public_key.keyid: signer for signer in signing})

    return bend


CASES: dict[str, tuple[Callable[[bytes], bytes], type[Exception] | None]] = {
    "listed, not signed": (both(STRANGER, LISTED, STRANGER), FounderNotAllowed),
    "both signed": (both(STRANGER, LISTED, STRANGER, LISTED), None),
    "the listed one signed": (both(STRANGER, LISTED, LISTED), None),
    "two strangers": (both(STRANGER, OTHER, STRANGER, OTHER), FounderNotAllowed),
    "threshold of two, one signed": (both(STRANGER, LISTED, LISTED, threshold=2), BadSignature),
}


def _foreign_signature(data: bytes) -> bytes:
    """A stranger's root, with a signature of the listed key, which is no root key of it."""
    root = read(data, Root).signed
    root.revoke_key(root.roles["root"].keyids[0], "root")
    root.add_key(STRANGER.public_key, "root")
    return sign(root, {signer.public_key.keyid: signer for signer in (STRANGER, LISTED)})


def _forged_signature(data: bytes) -> bytes:
    """Names the listed key beside the stranger's, with a stranger's signature under the listed key's id."""
    honest = both(STRANGER, LISTED, STRANGER)(data)
    metadata = Metadata[Root].from_bytes(honest)
    forged = STRANGER.sign(b"something else")
    metadata.signatures[LISTED.public_key.keyid] = type(forged)(LISTED.public_key.keyid, forged.signature)
    return serialise(metadata.to_dict())


CASES["signed by the listed one, but not its root"] = (_foreign_signature, FounderNotAllowed)
CASES["a forged signature of the listed one"] = (_forged_signature, FounderNotAllowed)


@pytest.mark.parametrize("case", CASES)
def test_a_listed_key_counts_as_a_root_key_that_signed(play: Play, case: str) -> None:
    bend, expected = CASES[case]

    async def scene(it: Scene) -> None:
        desk = await Desk.at(it)
        await allow(it, "*", LISTED)
        if expected is None:
            await desk.found(STRANGER, bend=bend)
        else:
            with pytest.raises(expected):
                await desk.found(STRANGER, bend=bend)
        assert await desk.exists() == (expected is None)

    play(scene)


PATTERNS = [
    ({"*": [LISTED]}, False),
    ({"team/*": [LISTED]}, False),
    ({"team/app": [LISTED]}, False),
    ({"team/app/*": [LISTED]}, True),
    ({"team": [LISTED]}, True),
    ({"tea/*": [LISTED]}, True),
    ({"*": [LISTED], "team/*": [STRANGER]}, True),
    ({"*": [STRANGER], "team/*": [LISTED]}, False),
    ({"team/*": [STRANGER], "team/app": [LISTED]}, False),
    ({"team/*": [LISTED], "team/app": [STRANGER]}, True),
    ({"*": [LISTED, STRANGER]}, True),
]


@pytest.mark.parametrize(("lists", "founds"), PATTERNS)
def test_the_most_specific_pattern_decides(play: Play, lists: dict[str, list[CryptoSigner]], founds: bool) -> None:
    async def scene(it: Scene) -> None:
        desk = await Desk.at(it)
        for where, keys in lists.items():
            await allow(it, where, *keys)
        if not founds:
            with pytest.raises(FounderNotAllowed):
                await desk.found(STRANGER)
        else:
            await desk.found(STRANGER)
        assert await desk.exists() == founds

    play(scene)


def test_a_collection_that_exists_is_not_affected(play: Play) -> None:
    async def scene(it: Scene) -> None:
        desk = await Desk.at(it)
        publisher = await desk.publisher(STRANGER)
        upload = publisher.first_upload("v1")
        await desk.publishing.publish(APP, upload, ALICE)
        publisher.install(upload)
        await allow(it, "*", LISTED)
        it.now += DAY
        await desk.publishing.publish(APP, publisher.sign_upload("v2", manifest("two"), it.now), ALICE)
        rotated = publisher.change_root(lambda root: root.add_key(OTHER.public_key, "root"), STRANGER)
        versions = await desk.publishing.publish(APP, rotated, ALICE)
        assert (versions["root"], versions["targets"]) == (2, 2)

    play(scene)


def test_a_list_gives_no_role(play: Play) -> None:
    async def scene(it: Scene) -> None:
        desk = await Desk.at(it)
        await allow(it, "*", LISTED)
        await it.principals.disable(ALICE.principal)
        with pytest.raises(RoleMissing):
            await desk.publishing.publish(APP, Publisher(APP, root=LISTED).first_upload("v1"), ALICE)

    play(scene)


def test_a_list_given_up_lets_the_next_one_decide(play: Play) -> None:
    async def scene(it: Scene) -> None:
        desk = await Desk.at(it)
        await allow(it, "team/*", LISTED)
        await allow(it, "*", OTHER)
        assert await disallow(it, "team/*") == frozenset()
        with pytest.raises(FounderNotAllowed, match=r"under \*"):
            await desk.found(LISTED)
        await disallow(it, "*")
        await desk.found(STRANGER)

    play(scene)


# The lists themselves


async def listed(it: Scene) -> dict[str, list[str]]:
    async with it.store.read() as tx:
        return {str(where): sorted(keys) for where, keys in (await tx.settings.founders()).items()}


def test_keys_are_added_to_a_list_and_taken_off_it_with_a_row_each(play: Play) -> None:
    async def scene(it: Scene) -> None:
        await allow(it, "team/*", B)
        await allow(it, "team/*", A, B)
        await allow(it, "*", C)
        assert await listed(it) == {"team/*": [A, B], "*": [C]}
        assert await disallow(it, "team/*", B) == {A}
        assert await listed(it) == {"team/*": [A], "*": [C]}
        await disallow(it, "*")
        rows = [(row.action, row.subject, row.detail) for row in await it.audit()]
        assert rows == [
            ("founders-added", "team/*", {"root_keys": [B], "listed": [B]}),
            ("founders-added", "team/*", {"root_keys": [A, B], "listed": [A, B]}),
            ("founders-added", "*", {"root_keys": [C], "listed": [C]}),
            ("founders-removed", "team/*", {"root_keys": [B], "listed": [A]}),
            ("founders-removed", "*", {"root_keys": [C], "listed": []}),
        ]
        assert {(row.actor, row.source, row.at) for row in await it.audit()} == {("operator:root", "local", NOW)}

    play(scene)


BAD: dict[str, tuple[Callable[[Scene], object], type[Exception]]] = {
    "no key": (lambda it: allow(it, "team/*"), InvalidSetting),
    "a short id": (lambda it: allow(it, "team/*", A[:16]), InvalidSetting),
    "upper case": (lambda it: allow(it, "team/*", A.upper()), InvalidSetting),
    "a newline": (lambda it: allow(it, "team/*", A + "\n"), InvalidSetting),
    "one bad among good": (lambda it: allow(it, "team/*", C, "x" * 64), InvalidSetting),
    "too many": (lambda it: allow(it, "team/*", *(f"{n:064x}" for n in range(MAX_KEYS))), InvalidSetting),
    "no list to remove": (lambda it: disallow(it, "team/app"), NotFound),
    "a key that isn't listed": (lambda it: disallow(it, "team/*", A, C), NotFound),
    "a bad id to remove": (lambda it: disallow(it, "team/*", "a"), InvalidSetting),
    "the only keys": (lambda it: disallow(it, "team/*", A, B), Conflict),
}


@pytest.mark.parametrize("case", BAD)
def test_a_refused_change_changes_nothing(play: Play, case: str) -> None:
    call, expected = BAD[case]

    async def scene(it: Scene) -> None:
        await allow(it, "team/*", A, B)
        before = await it.audit()
        with pytest.raises(expected):
            await call(it)
        assert await listed(it) == {"team/*": [A, B]}
        assert await it.audit() == before

    play(scene)


PARTS = st.sampled_from(["a", "b", "ab"])
PATHS = st.lists(PARTS, min_size=1, max_size=3).map("/".join)


WHERE = st.one_of(st.just("*"), PATHS, PATHS.map("{}/*".format))
KEYS = st.sets(st.sampled_from([A, B, C]), min_size=1)


@given(lists=st.dictionaries(WHERE, KEYS, max_size=5), path=PATHS)
def test_which_list_decides_is_one_question_with_one_answer(lists: dict[str, set[str]], path: str) -> None:
    repository = Repository.parse(path)

    class Kept:
        """Settings with these lists, and the transaction that has them."""

        async def founders(self) -> dict[RepositoryPattern, frozenset[str]]:
            return {pattern(where): frozenset(keys) for where, keys in lists.items()}

        @property
        def settings(self) -> Kept:
            return self

    found = asyncio.run(founders_of(Kept(), repository))
    parts = path.split("/")
    ladder = [path, *("/".join(parts[:n]) + "/*" for n in range(len(parts) - 1, 0, -1)), "*"]
    expected = next((where for where in ladder if where in lists), None)
    assert (found and str(found.pattern)) == expected
    assert found is None or found.key_ids == lists[str(found.pattern)]
