"""A role's file goes back to an older version (TRUST 3.4, 6.3)."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from tuf.api.metadata import MetaFile, Root, Timestamp

from tests.attacks.collection import Collection
from tests.attacks.conftest import MakeInsider
from tests.attacks.evil import Stage
from tests.remote.conftest import Handler
from tests.simulator import make_signer, manifest


def _next_timestamp(honest: Collection, snapshot: int) -> bytes:
    """What a thief of the timestamp key can make: the next version, naming any snapshot there was."""
    signed: Timestamp = honest.current("timestamp")
    signed.version += 1
    signed.snapshot_meta = MetaFile(snapshot)
    return honest.by(signed, honest.timestamp)


def _older_timestamp(honest: Collection) -> dict[str, bytes]:
    return {"timestamp.json": honest.history["timestamp", honest.current("timestamp").version - 1]}


def _first_timestamp(honest: Collection) -> dict[str, bytes]:
    return {"timestamp.json": honest.history["timestamp", 1]}


def _older_snapshot(honest: Collection) -> dict[str, bytes]:
    return {"timestamp.json": _next_timestamp(honest, honest.current("snapshot").version - 1)}


def _older_root(honest: Collection) -> dict[str, bytes]:
    return {"4.root.json": honest.history["root", 2]}


def _same_root(honest: Collection) -> dict[str, bytes]:
    return {"4.root.json": honest.history["root", 3]}


CASES: dict[str, Callable[[Collection], dict[str, bytes]]] = {
    "the timestamp before": _older_timestamp,
    "the first timestamp": _first_timestamp,
    "an older snapshot": _older_snapshot,
    "an older root as the next": _older_root,
    "the same root as the next": _same_root,
}


@pytest.fixture
def advanced(stage: Stage) -> Stage:
    """Root 3 and targets 2, which the victim has seen; ``v1`` was signed anew, because the old image had a hole."""
    stage.meet("warm")
    stage.honest.rotate(lambda root: None)
    stage.honest.release("v1", manifest("mended"))
    stage.honest.rotate(lambda root: None)
    stage.meet("warm")
    return stage


@pytest.mark.parametrize("case", CASES)
def test_a_file_goes_back(advanced: Stage, case: str) -> None:
    advanced.server.lies |= CASES[case](advanced.honest)
    advanced.refuses(3, "rolled-back")
    advanced.recovers()


def test_targets_go_back_under_stolen_online_keys(advanced: Stage) -> None:
    evil = advanced.honest.as_now()
    following = evil.current("snapshot").version + 1
    evil.forge_online(snapshot=following, timestamp=evil.current("timestamp").version + 1, targets=1)
    advanced.server.collections[str(advanced.gun)] = evil
    advanced.refuses(3, "rolled-back")
    advanced.honest.rotate_online("snapshot", "timestamp")
    advanced.recovers()


def test_the_whole_collection_goes_back(stage: Stage) -> None:
    stage.meet("warm")
    old = stage.honest.as_now()
    stage.honest.release("v1", manifest("mended"))
    stage.trusts()
    stage.server.collections[str(stage.gun)] = old
    stage.refuses(3, "rolled-back")
    asked = stage.victim.as_process("verify", stage.ref)
    assert (asked.status, asked.slug, asked.out) == (3, "rolled-back", "")
    assert stage.gun.repository.path in asked.err
    stage.recovers()


def test_roots_that_are_said_never_to_have_been(stage: Stage) -> None:
    """The repository key was stolen and replaced; its thief, who has the online keys too, hides that root."""
    stolen = stage.honest.repository
    old = stage.honest.as_now()
    stage.honest.repository = make_signer()

    def replace(root: Root) -> None:
        root.revoke_key(stolen.public_key.keyid, "targets")
        root.add_key(stage.honest.repository.public_key, "targets")

    upload = stage.honest.change_root(replace) | stage.honest.sign_upload("v1", manifest("new"), stage.honest.moment)
    stage.honest.accept(upload, stage.honest.moment)
    stage.meet("warm")
    for text in ("evil", "more evil"):
        old.release("v1", manifest(text))
    stage.server.collections[str(stage.gun)] = old
    stage.refuses(3, "signature-invalid")
    stage.honest.rotate_online("snapshot", "timestamp")
    stage.recovers()


def test_a_replica_that_lags_is_asked_again_for_two_seconds(advanced: Stage) -> None:
    """Before it is called a rollback; whoever only lags is believed as soon as it has caught up."""
    advanced.victim.waits = True
    old = advanced.honest.history["timestamp", 1]
    advanced.server.lies["timestamp.json"] = old
    started = time.monotonic()
    advanced.refuses(3, "rolled-back")
    assert time.monotonic() - started >= 2
    advanced.server.seen.clear()

    def catches_up(handler: Handler) -> None:
        lags = advanced.server.seen.count("timestamp.json") < 3
        handler.reply(200, old if lags else advanced.honest.files["timestamp"])

    advanced.server.lies["timestamp.json"] = catches_up
    advanced.trusts()
    assert advanced.server.seen.count("timestamp.json") == 3


@pytest.mark.parametrize("role", ["root", "targets"])
def test_an_upload_of_before_is_not_taken_again(insider: MakeInsider, role: str) -> None:
    """Somebody who may publish and has no key replays what the publisher once posted."""
    who = insider()
    who.found("v1")
    who.taken(who.release("v1", "mended"))
    who.taken(who.change_root(lambda root: None))
    for version in (1, 2):
        reply = who.refused({role: who.history[role, version]}, 409, "conflict")
        assert reply.error["detail"]["versions"] == {name: number for name, (number, _) in who.served().items()}
    who.taken(who.release("v1", "newer") if role == "targets" else who.change_root(lambda root: None))


def test_no_version_is_used_twice(insider: MakeInsider) -> None:
    """Not even by who has the keys, with other content: what was served under a version is cached for ever."""
    who = insider()
    who.found("v1")
    one, other = who.release("v1", "one"), who.release("v1", "other")
    who.taken(one)
    who.refused(other, 409, "conflict")
    who.taken(who.release("v1", "other"))


@pytest.mark.parametrize("role", ["snapshot", "timestamp"])
def test_no_older_online_file_is_taken(insider: MakeInsider, role: str) -> None:
    who = insider()
    who.found("v1")
    old = who.served()[role][1]
    who.taken(who.release("v1", "mended"))
    who.refused({role: old}, 400, "malformed")
