"""A root lists the pinned key, which didn't sign it (TRUST 5.1)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from securesystemslib.signer import Key
from tuf.api.metadata import Root

from tests.attacks.collection import Collection, now, reread
from tests.attacks.conftest import MakeInsider
from tests.attacks.evil import Stage
from tests.simulator import edited, make_signer, manifest
from trustkit.core.formats.tuf1 import sign


def _beside(root: Root, pinned: Key) -> None:
    root.add_key(pinned, "root")


def _in_front(root: Root, pinned: Key) -> None:
    root.add_key(pinned, "root")
    root.roles["root"].keyids.reverse()


def _as_repository_key(root: Root, pinned: Key) -> None:
    root.add_key(pinned, "targets")


def _everywhere_but_root(root: Root, pinned: Key) -> None:
    root.add_key(pinned, "targets")
    root.add_key(pinned, "snapshot")
    root.add_key(pinned, "timestamp")


LISTINGS: dict[str, Callable[[Root, Key], None]] = {
    "beside the stranger's": _beside,
    "in front of the stranger's": _in_front,
    "as a repository key": _as_repository_key,
    "everywhere but in root": _everywhere_but_root,
}


def _lister(stage: Stage, listing: Callable[[Root, Key], None]) -> Collection:
    """A stranger's collection that is sound in itself, with an image of the stranger's."""
    evil = Collection(stage.gun)
    evil.found("v1")
    root: Root = evil.current("root")
    listing(root, stage.honest.root.public_key)
    evil.put(root, evil.root)
    evil.release("v1", manifest("evil"))
    return evil


@pytest.mark.parametrize("case", LISTINGS)
def test_a_strangers_first_root_lists_the_pinned_key(stage: Stage, cache: str, case: str) -> None:
    stage.meet(cache)
    evil = _lister(stage, LISTINGS[case])
    root = reread(evil.files["root"], "root")
    root.signed.verify_delegate("root", root.signed_bytes, root.signatures)
    stage.server.collections[str(stage.gun)] = evil
    stage.refuses(3, "wrong-root" if cache == "cold" else "signature-invalid")
    stage.recovers()


@pytest.mark.parametrize("forged", ["of the stranger", "of the publisher for other bytes"])
def test_a_signature_under_the_pinned_id_that_is_not_the_pinned_keys(stage: Stage, cache: str, forged: str) -> None:
    """The stranger's threshold of one is met by the stranger; the entry under the pinned id only has to look well."""
    stage.meet(cache)
    evil = _lister(stage, _beside)
    pinned, own = stage.honest.root.public_key.keyid, evil.root.public_key.keyid
    if forged == "of the stranger":
        data = edited(evil.files["root"], lambda value: None, resign={pinned: evil.root, own: evil.root})
    else:
        replayed = reread(stage.honest.files["root"], "root").signatures[pinned].signature
        data = edited(
            evil.files["root"], lambda value: value["signatures"].append({"keyid": pinned, "sig": replayed})
        )
    root = reread(data, "root")
    root.signed.verify_delegate("root", root.signed_bytes, root.signatures)
    evil.history["root", 1] = data
    stage.server.collections[str(stage.gun)] = evil
    stage.refuses(3, "wrong-root" if cache == "cold" else "signature-invalid")
    stage.recovers()


def test_as_many_pinned_keys_as_the_pin_asks_for_have_to_sign(stage: Stage) -> None:
    """Two keys are pinned; a thief has one of them, and lists the other."""
    stolen, safe = stage.honest.root, make_signer()
    evil = Collection(stage.gun, root=stolen)
    evil.found("v1")
    root: Root = evil.current("root")
    root.add_key(safe.public_key, "root")
    evil.put(root, stolen)
    stage.server.collections[str(stage.gun)] = evil
    stage.pin(stage.victim, stolen, safe)
    stage.refuses(3, "wrong-root")
    evil.put(root, stolen, safe)
    stage.honest = evil
    stage.recovers()


def test_a_later_root_that_the_pinned_key_signed_is_where_the_walk_begins(stage: Stage) -> None:
    """What a stranger put in front is stepped over, not walked over (TRUST 5.2)."""
    stage.honest.rotate(lambda root: None)
    stage.server.lies["1.root.json"] = _lister(stage, _beside).files["root"]
    stage.trusts()
    stage.recovers()


def test_no_later_root_of_a_stranger_is_where_the_walk_begins(stage: Stage) -> None:
    evil = _lister(stage, _beside)
    evil.rotate(lambda root: None, evil.root)
    evil.rotate(lambda root: _as_repository_key(root, stage.honest.root.public_key), evil.root)
    stage.server.collections[str(stage.gun)] = evil
    stage.refuses(3, "wrong-root")
    assert {"1.root.json", "2.root.json", "3.root.json"} <= set(stage.server.seen)
    stage.recovers()


def test_no_collection_is_founded_by_listing_a_founders_key(insider: MakeInsider) -> None:
    """The operator's list of founders is held to the same rule (TRUST 3.8)."""
    who = insider()
    founder = make_signer()
    listed = who.service.admin("founders", "add", who.gun.repository.path, "--root-key", founder.public_key.keyid)
    assert listed.status == 0, listed.err
    good = who.first_upload("v1", now=now())
    root = reread(good["root"], "root").signed
    _beside(root, founder.public_key)
    who.refused({**good, "root": sign(root, who.signed(who.root))}, 403, "founder-not-allowed")
    who.taken({**good, "root": sign(root, who.signed(who.root, founder))})
