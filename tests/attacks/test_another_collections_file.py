"""A file of another collection under the same keys stands in for one of this collection (TRUST 1.3)."""

from __future__ import annotations

import pytest
from tuf.api.metadata import Root

from tests.attacks.collection import ROLES, Collection, now
from tests.attacks.conftest import MakeInsider
from tests.attacks.evil import Stage
from tests.simulator import make_signer, manifest
from trustkit.core.names import Gun


@pytest.fixture
def other(stage: Stage) -> Collection:
    """Another collection of the same publisher, under the very same keys in every role, with other images."""
    made = Collection(Gun.parse(f"{stage.server.host}/team/other"), root=stage.honest.root)
    made.repository = stage.honest.repository
    made.snapshot, made.timestamp = stage.honest.snapshot, stage.honest.timestamp
    made.found("v1")
    return made


def _advance(*collections: Collection) -> None:
    """The same next versions of every role in each, so that nothing but the name tells their files apart."""
    for collection in collections:
        collection.release("v1", manifest(f"new of {collection.gun}"))
        collection.rotate(lambda root: None)


@pytest.mark.parametrize("role", ROLES)
def test_one_file_of_another_collection(stage: Stage, other: Collection, cache: str, role: str) -> None:
    stage.meet(cache)
    _advance(stage.honest, other)
    stage.server.lies[stage.honest.name(role)] = other.files[role]
    stage.refuses(3, "wrong-collection")
    stage.recovers()


def test_all_files_of_another_collection(stage: Stage, other: Collection, cache: str) -> None:
    stage.meet(cache)
    _advance(stage.honest, other)
    stage.server.collections[str(stage.gun)] = other
    if cache == "warm":
        stage.refuses(3, "wrong-collection")
    else:
        stage.refuses(3, "wrong-root")
        stage.pin_file(stage.victim, stage.honest.history["root", 1])
        stage.refuses(3, "wrong-collection")
    stage.recovers()


def test_a_root_file_of_another_collection_is_not_pinned(stage: Stage, other: Collection) -> None:
    file = stage.folder / "other.json"
    file.write_bytes(other.files["root"])
    pinned = stage.victim("pin", "add", str(stage.gun), "--root", str(file), "--replace")
    assert (pinned.status, pinned.slug) == (2, "usage")
    stage.trusts()


def test_another_collections_new_owner_takes_no_step_of_the_root_walk(
    stage: Stage, other: Collection, cache: str
) -> None:
    """The publisher gave the other collection away; its new owner must not walk from there into this one."""
    stage.meet(cache)
    owner = make_signer()

    def give_away(root: Root) -> None:
        root.revoke_key(stage.honest.root.public_key.keyid, "root")
        root.add_key(owner.public_key, "root")

    other.rotate(give_away, stage.honest.root, owner)
    evil = Collection(stage.gun, root=owner)
    evil.history |= {("root", 1): stage.honest.history["root", 1], ("root", 2): other.history["root", 2]}
    evil.found("v1")
    root: Root = evil.current("root")
    root.version = 3
    evil.put(root, owner)
    evil.history["root", 1] = stage.honest.history["root", 1]
    evil.release("v1", manifest("evil"))
    stage.server.collections[str(stage.gun)] = evil
    stage.refuses(3, "wrong-collection")
    stage.recovers()


@pytest.mark.parametrize("role", ["root", "targets"])
def test_the_service_takes_no_file_of_another_collection(insider: MakeInsider, role: str) -> None:
    one = insider()
    other = insider(root=one.root, repository=one.repository)
    one.found("v1")
    other.found("v1")
    uploads = {"root": lambda who: who.change_root(lambda root: None), "targets": lambda who: who.release("v2")}
    one.refused(uploads[role](other), 400, "wrong-gun")
    one.taken(uploads[role](one))


@pytest.mark.parametrize("role", ["snapshot", "timestamp"])
def test_the_service_takes_no_online_file_at_all(insider: MakeInsider, role: str) -> None:
    one, other = insider(), insider()
    one.found("v1")
    other.found("v1")
    one.refused({role: other.served()[role][1]}, 400, "malformed")
    one.refused({**one.release("v2"), role: other.served()[role][1]}, 400, "malformed")
    one.taken(one.release("v2"))


def test_no_collection_is_founded_with_the_files_of_another(insider: MakeInsider) -> None:
    one = insider()
    other = insider(root=one.root, repository=one.repository)
    files = one.first_upload("v1", now=now())
    one.taken(files)
    other.refused(files, 400, "wrong-gun")
    own = other.first_upload("v1", now=now())
    other.refused({**own, "targets": files["targets"]}, 400, "wrong-gun")
    other.refused({**own, "root": files["root"]}, 400, "wrong-gun")
    other.taken(own)
