"""Drafts of collections in format docker: where tags go, what a signer's end takes along, and what the judge says."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
from tuf.api.metadata import Snapshot

from tests.formats_docker.forge import GUN, NOW, Forge, Pair, certified, ecdsa, role_of, tags
from trustkit.core.formats.docker.build import next_snapshot, next_timestamp
from trustkit.core.formats.docker.draft import DockerDraft
from trustkit.core.formats.docker.evaluate import evaluate
from trustkit.core.formats.docker.files import read, sign
from trustkit.core.formats.docker.judge import State, judge
from trustkit.core.formats.docker.keys import DockerKey
from trustkit.core.formats.docker.signers import add_signer, end_signer
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.names import SignerName, Tag
from trustkit.errors import Conflict, NotFound, Unsigned, UsageError

A, B = "aa" * 32, "bb" * 32


class World:
    """One collection and all private keys; ``here`` are the ids of the bare keys that whoever drafts has."""

    def __init__(self, forge: Forge, *others: Pair) -> None:
        self.files = forge.files()
        self.online = {role: forge.signers[role][0] for role in ("snapshot", "timestamp")}
        pairs = [pair for own in forge.signers.values() for pair in own]
        self.signers = {key.canonical_id: signer for key, signer in [*pairs, *others]}
        self.here = set(self.signers)

    def draft(self) -> DockerDraft:
        return DockerDraft(GUN, self.files, now=NOW, lifetimes=Lifetimes(), holds=self.holds)

    def holds(self, role: str, keys: Iterable[DockerKey]) -> bool:
        del role
        return any(key.canonical_id in self.here for key in keys)

    def publish(self, draft: DockerDraft) -> None:
        """Signs with the keys that are here; the judge has to take it, and its view to be the draft's."""
        draft.settle()
        upload = {}
        for role in sorted(draft.changed):
            signed = draft.root if role == "root" else draft.files[role]
            keys = [*draft.keys(role), *(draft.before.signed.keys.values() if role == "root" else ())]
            pairs = [(k, self.signers[k.canonical_id]) for k in keys if k.canonical_id in self.here]  # type: ignore[attr-defined]  # they are DockerKeys
            upload[role] = sign(signed, pairs)
        stored = {role: data for role, data in self.files.items() if role != "timestamp"}
        online = {role: key for role, (key, _) in self.online.items()}
        accepted = judge(State(GUN, stored, online), upload, now=NOW, lifetimes=Lifetimes())
        assert accepted.ours
        version = read(self.files["snapshot"], Snapshot).signed.version + 1
        expires = read(self.files["snapshot"], Snapshot).signed.expires
        snapshot = sign(
            next_snapshot(accepted.files, None, version=version, expires=expires), [self.online["snapshot"]]
        )
        timestamp = next_timestamp(snapshot, version=version, expires=expires)
        self.files = {
            **accepted.files,
            "snapshot": snapshot,
            "timestamp": sign(timestamp, [self.online["timestamp"]]),
        }

    def tags(self) -> dict[str, tuple[str, str]]:
        """By tag the digest and the role that a consumer takes it from."""
        view = evaluate(self.files, GUN, NOW)
        return {tag.name: (target.digest.hex, target.role) for tag, target in view.targets.items()}


ANN, BOB = SignerName.parse("ann"), SignerName.parse("bob")


@pytest.fixture
def ann() -> Pair:
    return ecdsa()


@pytest.fixture
def bob() -> Pair:
    return ecdsa()


@pytest.fixture
def world(ann: Pair, bob: Pair) -> World:
    return World(Forge(), ann, bob)


def put(world: World, digest: str, *names: str) -> None:
    draft = world.draft()
    draft.put(tags(*names, digest=digest).values())
    world.publish(draft)


def test_a_tag_goes_where_docker_puts_it(world: World, ann: Pair, bob: Pair) -> None:
    put(world, A, "v2")
    assert world.tags()["v2"] == (A, "targets")
    draft = world.draft()
    add_signer(draft, ANN, ann[0])
    add_signer(draft, BOB, bob[0])
    world.publish(draft)
    world.here -= {bob[0].canonical_id}
    draft = world.draft()
    draft.put(tags("v3", digest=B).values())
    assert draft.changed == {"targets/ann", "targets/releases"}
    world.publish(draft)
    assert world.tags()["v3"] == (B, "targets/releases")
    for name, key in ((ANN, ecdsa()[0]), (SignerName.parse("eve"), ann[0])):
        with pytest.raises(Conflict):
            add_signer(world.draft(), name, key)
    with pytest.raises(UsageError):
        add_signer(world.draft(), SignerName("releases"), ann[0])
    with pytest.raises(NotFound):
        end_signer(world.draft(), SignerName.parse("eve"), None, resign=False)


def test_a_delegation_that_docker_does_not_ask(ann: Pair) -> None:
    """Without targets/releases docker asks targets, so the tag has to be there, too."""
    forge = Forge()
    forge.delegate(role_of("targets/qa", ann[0]), {}, ann)
    world = World(forge)
    put(world, B, "v1")
    assert world.tags()["v1"] == (B, "targets")


def test_paths_that_leave_a_tag_out(ann: Pair) -> None:
    forge = Forge()
    forge.delegate(role_of("targets/releases", ann[0], paths=["v"]), {}, ann)
    world = World(forge)
    put(world, B, "v1", "x1")
    assert world.tags() == {"v1": (B, "targets/releases"), "x1": (B, "targets")}


def test_a_revoked_tag_does_not_come_back_as_what_it_was(world: World, ann: Pair) -> None:
    draft = world.draft()
    add_signer(draft, ANN, ann[0])
    world.publish(draft)
    put(world, B, "v1")
    draft = world.draft()
    draft.drop(["v1"])
    assert [str(change) for change in draft.difference.lost] == [
        f"v1: sha256:{B}, signed by targets/releases, is withdrawn"
    ]
    world.publish(draft)
    assert world.tags() == {}
    with pytest.raises(Unsigned):
        world.draft().drop(["v1"])


@pytest.mark.parametrize("resign", [False, True])
@pytest.mark.parametrize("last", [False, True])
def test_a_signer_goes(world: World, ann: Pair, bob: Pair, *, resign: bool, last: bool) -> None:
    draft = world.draft()
    add_signer(draft, ANN, ann[0])
    if not last:
        add_signer(draft, BOB, bob[0])
    world.publish(draft)
    world.here -= {bob[0].canonical_id}
    put(world, B, "v1", "v2")
    draft = world.draft()
    end_signer(draft, ANN, None, resign=resign)
    world.publish(draft)
    role = "targets" if last else "targets/releases"
    assert world.tags() == ({"v1": (B, role), "v2": (B, role)} if resign else {})
    if last:
        draft = world.draft()
        add_signer(draft, ANN, ann[0])
        world.publish(draft)
        put(world, A, "v3")
        assert world.tags()["v3"] == (A, "targets/releases")


def test_a_signer_gets_another_key(world: World, ann: Pair, bob: Pair) -> None:
    draft = world.draft()
    add_signer(draft, ANN, ann[0])
    world.publish(draft)
    put(world, B, "v1")
    draft = world.draft()
    end_signer(draft, ANN, bob[0], resign=True)
    world.publish(draft)
    world.here -= {ann[0].canonical_id}
    put(world, A, "v2")
    assert world.tags() == {"v1": (B, "targets/releases"), "v2": (A, "targets/releases")}


def test_roots_are_signed_by_both(world: World) -> None:
    former, (key, signer) = set(world.here), certified()
    world.signers[key.canonical_id] = signer
    world.here.add(key.canonical_id)
    draft = world.draft()
    old = draft.keys("root")[0]
    draft.name_root_keys("root", [key])
    world.publish(draft)
    assert old.keyid in world.draft().root.keys  # as Notary leaves it
    world.here = former - {old.canonical_id} | {key.canonical_id}
    new, signer = ecdsa()
    world.signers[new.canonical_id] = signer
    world.here.add(new.canonical_id)
    draft = world.draft()
    draft.name_root_keys("targets", [new])
    draft.changed.add("targets")
    world.publish(draft)
    assert [key.keyid for key in world.draft().keys("targets")] == [new.keyid]
    assert world.tags()["v1"][1] == "targets"


@pytest.mark.parametrize("seed", range(25))
def test_whatever_is_drafted_the_judge_takes(seed: int) -> None:
    """With any of the signers' keys away, and what a consumer sees is what the draft said."""
    random_ = random.Random(seed)
    signers = {SignerName.parse(name): ecdsa() for name in ("ann", "bob", "cy")}
    world = World(Forge(), *signers.values())
    everything = set(world.here)
    for _ in range(12):
        world.here = everything - {key.canonical_id for key, _ in signers.values() if random_.random() < 0.3}
        draft = world.draft()
        name = random_.choice(list(signers))
        word = random_.choice(["put", "put", "drop", "add", "end", "end"])
        there = f"targets/{name}" in draft.delegated
        releases = draft.keys("targets/releases") if "targets/releases" in draft.delegated else []
        if word == "put" and (not releases or world.holds("targets/releases", releases)):
            draft.put(tags(f"v{random_.randrange(4)}", digest=random_.choice([A, B])).values())
        elif word == "drop" and draft.entries() and (not releases or world.holds("targets/releases", releases)):
            draft.drop([random_.choice(sorted(draft.entries()))])
        elif word == "add" and not there:
            add_signer(draft, name, signers[name][0])
        elif word == "end" and there:
            end_signer(draft, name, None, resign=random_.random() < 0.5)
        else:
            continue
        expected = {path: (entry.hashes["sha256"], role) for path, (role, entry) in draft.entries().items()}
        world.publish(draft)
        assert world.tags() == expected
        assert {Tag(path) for path in expected} == set(evaluate(world.files, GUN, NOW).targets)
