"""Whoever took the service over, and keys that wait for a root: none is lost, taken into use or signs ahead of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import Key, Signature
from tuf.api.metadata import Root, Snapshot, Targets, Timestamp

from tests.signer.running import RunningSigner
from tests.signer.stage import Intruder, member
from tests.simulator import make_signer
from trustkit.core.formats.tuf1 import payload, read, sign
from trustkit.core.onlinejudge import signed_file
from trustkit.core.ports.signing import SignerAhead
from trustkit.core.rotation_online import adopt
from trustkit.errors import ConsentMissing, StateError

BOTH = ("snapshot", "timestamp")


def naming(it: Intruder, keys: Mapping[str, Key]) -> dict[str, bytes]:
    """The next root by its holders, which names these keys."""
    it.publisher.files = it.files
    return it.publisher.change(lambda draft: adopt(draft, keys) and None, it.publisher.root, now=datetime.now(UTC))


def rotate(it: Intruder, keys: Mapping[str, Key], *, used: int = 0) -> None:
    """A rotation, as an honest service has it; so many snapshot versions were used up without a state."""
    upload = naming(it, keys)
    last = read(it.files["snapshot"], Snapshot).signed.version + used
    snapshot = it.snapshot(upload, member("version", last + 1))
    by = {**it.keys, **keys}
    signature = it.signer.sign(it.gun, "snapshot", snapshot, {"root": upload["root"]})
    files = {**upload, "snapshot": signed_file(snapshot, by["snapshot"].keyid, signature)}
    timestamp = it.timestamp(read(files["snapshot"], Snapshot).signed.version)
    signature = it.signer.sign(it.gun, "timestamp", timestamp, files)
    it.files |= files | {"timestamp": signed_file(timestamp, by["timestamp"].keyid, signature)}
    it.keys = by


def show(it: Intruder, snapshot: bytes) -> None:
    """Has a snapshot that was signed become current, as a renewal does."""
    timestamp = it.timestamp(read(snapshot, Snapshot).signed.version)
    signature = it.ask_timestamp(timestamp, {"snapshot": snapshot})
    it.files |= {"snapshot": snapshot, "timestamp": signed_file(timestamp, it.keys["timestamp"].keyid, signature)}


def is_by(key: Key, signature: str, data: bytes) -> bool:
    try:
        key.verify_signature(Signature(key.keyid, signature), data)
    except UnverifiedSignatureError:
        return False
    return True


def test_an_honest_rotation_and_what_follows(signer: RunningSigner, intruder: Intruder) -> None:
    old, new = dict(intruder.keys), intruder.signer.stage(intruder.gun, BOTH)
    rotate(intruder, new)
    assert intruder.signer.make(intruder.gun) == new
    intruder.advance(intruder.upload("v2"))
    there = signer.rows(f"SELECT key_id FROM keys WHERE gun = '{intruder.gun}'")
    assert {key_id for (key_id,) in there} == {key.keyid for key in new.values()}
    assert not {key.keyid for key in old.values()} & {key.keyid for key in new.values()}


def test_staging_changes_nothing_that_is_in_use(intruder: Intruder) -> None:
    first = intruder.signer.stage(intruder.gun, BOTH)
    for _ in range(3):
        assert intruder.signer.stage(intruder.gun, BOTH) == first, "one waits for each role, and no more"
    assert intruder.signer.make(intruder.gun) == intruder.keys
    intruder.advance(intruder.upload("v2"))


@pytest.mark.parametrize("roles", [["root"], ["targets"], ["snapshot", "releases"], [""], [7], "snapshot"])
def test_no_other_role_gets_a_key(intruder: Intruder, roles: list[str]) -> None:
    with pytest.raises(StateError, match=r"no others|no list"):
        intruder.signer._ask("/v1/stage", {"gun": str(intruder.gun), "roles": roles})
    assert intruder.signer.stage(intruder.gun, []) == {}


def test_a_root_that_its_holders_did_not_sign_takes_no_key_into_use(intruder: Intruder) -> None:
    waiting = intruder.signer.stage(intruder.gun, BOTH)
    thief = make_signer()
    root = read(naming(intruder, waiting)["root"], Root).signed
    for forged in (
        sign(root, {thief.public_key.keyid: thief}),
        signed_file(payload(root), intruder.publisher.root.public_key.keyid, "00" * 64),
        intruder.files["targets"],
        b"{}",
    ):
        upload = {"root": forged}
        snapshot = intruder.snapshot()
        with pytest.raises(StateError, match="The signer refuses"):
            intruder.signer.sign(intruder.gun, "snapshot", snapshot, upload)
        file = intruder.ask_snapshot(snapshot)
        with pytest.raises(StateError, match="The signer refuses"):
            intruder.ask_timestamp(
                intruder.timestamp(read(file, Snapshot).signed.version), {**upload, "snapshot": file}
            )
        assert intruder.signer.make(intruder.gun) == intruder.keys
        show(intruder, file)


@pytest.mark.parametrize("role", BOTH)
def test_a_root_that_is_held_back_lets_no_new_key_sign_what_was_shown(intruder: Intruder, role: str) -> None:
    """The holders have signed the next root, with files of its own; the intruder wants it beside the state before."""
    waiting = intruder.signer.stage(intruder.gun, [role])
    root = naming(intruder, waiting)["root"]
    kind = Snapshot if role == "snapshot" else Timestamp
    shown = payload(read(intruder.files[role], kind).signed)
    if role == "snapshot":
        signature = intruder.signer.sign(intruder.gun, role, shown, {"root": root})
        assert is_by(intruder.keys[role], signature, shown)
        assert not is_by(waiting[role], signature, shown)
    else:
        with pytest.raises(SignerAhead):
            intruder.signer.sign(intruder.gun, role, shown, {"root": root, "snapshot": intruder.files["snapshot"]})
    assert intruder.signer.make(intruder.gun) == intruder.keys
    rotate(intruder, waiting)


def test_a_bad_state_takes_no_key_into_use(intruder: Intruder) -> None:
    """The root is good, and the targets beside it are nobody's."""
    waiting = intruder.signer.stage(intruder.gun, BOTH)
    thief = make_signer()
    upload = {**naming(intruder, waiting), **intruder.upload("v2")}
    forged = {**upload, "targets": sign(read(upload["targets"], Targets).signed, {thief.public_key.keyid: thief})}
    snapshot = intruder.snapshot(forged)
    signature = intruder.signer.sign(intruder.gun, "snapshot", snapshot, {"root": forged["root"]})
    files = {**forged, "snapshot": signed_file(snapshot, waiting["snapshot"].keyid, signature)}
    with pytest.raises(StateError, match="too few valid"):
        intruder.ask_timestamp(intruder.timestamp(2), files)
    assert intruder.signer.make(intruder.gun) == intruder.keys
    rotate(intruder, waiting, used=1)


def test_an_old_root_is_not_gone_back_to(intruder: Intruder) -> None:
    before = dict(intruder.files)
    rotate(intruder, intruder.signer.stage(intruder.gun, BOTH))
    snapshot = intruder.snapshot()
    file = signed_file(
        snapshot, intruder.keys["snapshot"].keyid, intruder.signer.sign(intruder.gun, "snapshot", snapshot, {})
    )
    version = read(file, Snapshot).signed.version
    with pytest.raises(StateError, match="root version 1"):
        intruder.ask_timestamp(intruder.timestamp(version), {"root": before["root"], "snapshot": file})
    show(intruder, file)


def test_keys_are_not_replaced_without_consent(signer: RunningSigner, intruder: Intruder) -> None:
    waiting = intruder.signer.stage(intruder.gun, BOTH)
    for _ in range(2):
        with pytest.raises(ConsentMissing, match="No reset"):
            intruder.signer.replace(intruder.gun)
    assert intruder.signer.make(intruder.gun) == intruder.keys
    assert intruder.signer.stage(intruder.gun, []) == waiting
    assert "refused a reset" in signer.log.read_text()
    intruder.advance(intruder.upload("v2"))
