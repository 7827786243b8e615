"""Files of different moments are put together (TRUST 3.1)."""

from __future__ import annotations

import pytest
from tuf.api.metadata import Root, Targets

from tests.attacks.collection import now, reread
from tests.attacks.conftest import MakeInsider
from tests.attacks.evil import Stage
from tests.remote.conftest import Handler
from tests.simulator import make_signer, manifest
from trustkit.core.formats.tuf1 import sign

MIXES: dict[str, dict[str, tuple[str, int]]] = {
    "older targets": {"3.targets.json": ("targets", 2)},
    "the oldest targets": {"3.targets.json": ("targets", 1)},
    "an older snapshot": {"3.snapshot.json": ("snapshot", 2)},
    "older targets and snapshot": {"3.snapshot.json": ("snapshot", 2), "2.targets.json": ("targets", 1)},
    "newer targets than the snapshot names": {
        "timestamp.json": ("timestamp", 2),
        "2.targets.json": ("targets", 3),
    },
    "a newer snapshot than the timestamp names": {
        "timestamp.json": ("timestamp", 2),
        "2.snapshot.json": ("snapshot", 3),
    },
    "a newer snapshot, and the targets that it names": {
        "timestamp.json": ("timestamp", 2),
        "2.snapshot.json": ("snapshot", 3),
        "2.targets.json": ("targets", 3),
    },
}
"""By file name, which version of which role is served under it; the collection is at version 3 of each."""


@pytest.mark.parametrize("case", MIXES)
def test_files_of_different_moments(stage: Stage, cache: str, case: str) -> None:
    stage.meet(cache)
    for text in ("second", "third"):
        stage.honest.release("v1", manifest(text))
    stage.server.lies |= {name: stage.honest.history[file] for name, file in MIXES[case].items()}
    stage.refuses(3, "rolled-back")
    stage.recovers()


@pytest.mark.parametrize("missing", ["3.snapshot.json", "3.targets.json"])
def test_a_file_that_is_named_and_not_there(stage: Stage, cache: str, missing: str) -> None:
    stage.meet(cache)
    for text in ("second", "third"):
        stage.honest.release("v1", manifest(text))
    stage.server.lies[missing] = None
    stage.refuses(4, "garbage")
    stage.recovers()


@pytest.mark.parametrize("role", ["snapshot", "timestamp"])
def test_online_files_from_before_their_keys_were_changed(stage: Stage, cache: str, role: str) -> None:
    """The new root with the old files, which were right until it came."""
    stage.meet(cache)
    old = stage.honest.as_now()
    stage.honest.rotate_online(role)
    stage.server.lies["timestamp.json"] = old.files["timestamp"]
    if role == "snapshot":
        stage.server.lies["timestamp.json"] = stage.honest.files["timestamp"]
        stage.server.lies[stage.honest.name("snapshot")] = old.files["snapshot"]
    stage.refuses(3, "signature-invalid")
    stage.recovers()


def test_targets_from_before_their_key_was_changed(stage: Stage, cache: str) -> None:
    stage.meet(cache)
    stage.honest.release("v1", manifest("new"))
    old = stage.honest.files["targets"]
    stage.honest.repository = make_signer()

    def replace(root: Root) -> None:
        root.revoke_key(root.roles["targets"].keyids[0], "targets")
        root.add_key(stage.honest.repository.public_key, "targets")

    stage.honest.put(stage.honest.current("targets"), stage.honest.repository)
    stage.honest.rotate(replace)
    stage.server.lies["2.targets.json"] = old
    stage.refuses(3, "signature-invalid")
    stage.recovers()


def test_a_publish_amid_a_verify_mixes_nothing(stage: Stage, cache: str) -> None:
    """No attack: files have their versions in their names, so a client that began before a publish ends before it."""
    stage.meet(cache)
    stage.honest.release("v1", manifest("second"))
    before = stage.trusted

    def overtaken(handler: Handler) -> None:
        handler.reply(200, stage.honest.files["timestamp"])
        del stage.server.lies["timestamp.json"]
        stage.honest.release("v1", manifest("third"))

    stage.server.lies["timestamp.json"] = overtaken
    result = stage.victim("verify", stage.ref)
    assert (result.status, result.out) == (0, before)
    assert before != stage.trusted
    stage.recovers()


def test_a_publish_is_taken_whole_or_not_at_all(insider: MakeInsider) -> None:
    who = insider()
    who.found("v1")
    root, targets = who.change_root(lambda root: None), who.release("v1", "new")
    unsigned = {"targets": sign(reread(targets["targets"], "targets").signed, {"f" * 64: make_signer()})}
    who.refused({**root, **unsigned}, 400, "bad-signature")
    who.refused({**targets, "root": who.history["root", 1]}, 409, "conflict")
    who.refused({**root, "targets": who.history["targets", 1]}, 409, "conflict")
    who.taken({**root, **targets})


def test_a_root_and_targets_that_do_not_belong_together(insider: MakeInsider) -> None:
    """A new repository key comes with targets that it signed: neither goes without the other."""
    who = insider()
    who.found("v1")
    old, new = who.repository, make_signer()

    def replace(root: Root) -> None:
        root.revoke_key(old.public_key.keyid, "targets")
        root.add_key(new.public_key, "targets")

    root = who.change_root(replace)
    by_old = who.release("v1", "new")
    who.repository = new
    by_new = who.release("v1", "new")
    who.refused(root, 400, "bad-signature")
    who.refused({**root, **by_old}, 400, "bad-signature")
    who.refused(by_new, 400, "bad-signature")
    who.taken({**root, **by_new})


def test_a_first_publish_of_two_publishers(insider: MakeInsider) -> None:
    who = insider()
    mine = who.first_upload("v1", now=now())
    who.repository = make_signer()
    theirs = who.first_upload("v1", now=now())
    who.refused({**mine, "targets": theirs["targets"]}, 400, "bad-signature")
    who.refused({"root": mine["root"]}, 400, "malformed")
    who.refused({"targets": mine["targets"]}, 400, "malformed")
    assert who.served() == {}
    who.taken(mine)


def test_of_two_publishes_at_once_the_second_starts_again(insider: MakeInsider) -> None:
    """Each was made on the same base; taking both would lose the first one's tag."""
    who = insider()
    who.found("v1")
    mine, theirs = who.release("mine"), who.release("theirs")
    who.taken(mine)
    who.refused(theirs, 409, "conflict")
    who.taken(who.release("theirs"))
    targets: Targets = reread(who.files["targets"], "targets").signed
    assert set(targets.targets) == {"v1", "mine", "theirs"}
