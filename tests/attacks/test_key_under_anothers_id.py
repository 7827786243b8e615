"""A key is filed under another key's id, so that its signatures seem to be the other's (TRUST 2.1)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.attacks.collection import ROLES, Collection, now, reread
from tests.attacks.conftest import MakeInsider
from tests.attacks.evil import Stage
from tests.simulator import Publisher, edited, make_signer, manifest
from trustkit.core.formats.tuf1 import sign


def _pose(value: dict[str, Any], key_id: str, as_id: str) -> None:
    """Files the key of ``key_id`` under another id, wherever it stands."""
    signed = value["signed"]
    signed["keys"][as_id] = signed["keys"].pop(key_id)
    for role in signed["roles"].values():
        role["keyids"] = [as_id if key == key_id else key for key in role["keyids"]]


def _impostor(stage: Stage) -> Collection:
    """A stranger's collection whose root has the stranger's root key under the pinned id."""
    evil = Collection(stage.gun)
    evil.found("v1")
    evil.release("v1", manifest("evil"))
    pinned, own = stage.honest.root.public_key.keyid, evil.root.public_key.keyid
    posed = edited(evil.files["root"], lambda value: _pose(value, own, pinned), resign={pinned: evil.root})
    evil.files["root"] = evil.history["root", 1] = posed
    return evil


def test_python_tuf_alone_believes_the_impostor(stage: Stage) -> None:
    """Why the check is ours: ids are taken as they are written."""
    root = reread(_impostor(stage).files["root"], "root")
    root.signed.verify_delegate("root", root.signed_bytes, root.signatures)
    assert list(root.signatures) == [stage.honest.root.public_key.keyid]


def test_a_strangers_root_key_under_the_pinned_id(stage: Stage, cache: str) -> None:
    stage.meet(cache)
    evil = _impostor(stage)
    stage.server.collections[str(stage.gun)] = evil
    if cache == "cold":
        stage.refuses(3, "wrong-root")
    else:
        stage.refuses(3, "signature-invalid")  # the anchor is kept; the stranger's timestamp isn't signed by it
    stage.recovers()


def test_a_strangers_next_root_under_the_pinned_id(stage: Stage, cache: str) -> None:
    stage.meet(cache)
    pinned = stage.honest.root.public_key.keyid
    evil = _impostor(stage)
    next_root = edited(
        evil.files["root"], lambda value: value["signed"].update(version=2), resign={pinned: evil.root}
    )
    stage.server.lies["2.root.json"] = next_root
    assert stage.refuses(3, "signature-invalid").err
    stage.recovers()


def test_a_root_file_with_a_key_under_anothers_id_is_not_pinned(stage: Stage) -> None:
    file = stage.folder / "impostor.json"
    file.write_bytes(_impostor(stage).files["root"])
    pinned = stage.victim("pin", "add", str(stage.gun), "--root", str(file), "--replace")
    assert (pinned.status, pinned.slug, pinned.out) == (2, "usage", "")
    stage.trusts()


def _filed_wrongly(publisher: Publisher, role: str) -> bytes:
    """The publisher's next root, rightly signed, in which a new key of one role stands under the old one's id."""
    root = reread(publisher.files["root"], "root").signed
    root.version += 1
    stranger = make_signer().public_key
    (old,) = root.roles[role].keyids
    root.keys[stranger.keyid] = stranger
    root.roles[role].keyids = [stranger.keyid]
    del root.keys[old]
    signed = sign(root, publisher.signed(publisher.root))
    return edited(
        signed,
        lambda value: _pose(value, stranger.keyid, old),
        resign=publisher.signed(publisher.root),
    )


@pytest.mark.parametrize("role", ROLES)
def test_a_rightly_signed_root_with_a_key_under_anothers_id(stage: Stage, cache: str, role: str) -> None:
    stage.meet(cache)
    stage.server.lies["2.root.json"] = _filed_wrongly(stage.honest, role)
    stage.refuses(3, "signature-invalid")
    stage.recovers()


@pytest.mark.parametrize("role", ROLES)
def test_the_service_takes_no_key_under_anothers_id(insider: MakeInsider, role: str) -> None:
    who = insider()
    who.found("v1")
    who.refused({"root": _filed_wrongly(who, role)}, 400, "bad-keys")
    who.taken(who.change_root(lambda root: None))


def test_no_collection_is_founded_with_a_key_under_anothers_id(insider: MakeInsider) -> None:
    who = insider()
    good = who.first_upload("v1", now=now())
    own, as_id = who.root.public_key.keyid, "f" * 64
    bad = edited(good["root"], lambda value: _pose(value, own, as_id), resign={as_id: who.root})
    who.refused({**good, "root": bad}, 400, "bad-keys")
    who.taken(good)


def test_a_service_that_files_its_online_keys_under_other_ids(stage: Stage) -> None:
    """A publisher would sign a root that names them."""
    keys = {role: make_signer().public_key for role in ("snapshot", "timestamp")}
    listed = {role: {"keyid": make_signer().public_key.keyid, **key.to_dict()} for role, key in keys.items()}
    stage.server.lies["online-keys"] = json.dumps(listed).encode()
    founding = stage.victim("init", f"{stage.server.host}/team/new")
    assert (founding.status, founding.slug, founding.out) == (4, "garbage", "")
    assert json.loads(stage.victim("key", "list", "--format", "json").out) == []
