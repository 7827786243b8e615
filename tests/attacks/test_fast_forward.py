"""Versions are driven up so that nothing new is accepted (TRUST 3.7)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.attacks.collection import ROLES
from tests.attacks.conftest import MakeInsider
from tests.attacks.evil import Stage
from tests.simulator import edited, make_signer, manifest

LAST = 2**31 - 1
"""The highest version there is."""

VERSIONS = [LAST, 2**31, 2**63, 10**15]


def _driven_up(stage: Stage, role: str, version: int, *signers: Any) -> bytes:
    keys = stage.honest.signed(*signers)
    return edited(stage.honest.files[role], lambda value: value["signed"].update(version=version), resign=keys)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("role", ROLES)
def test_whoever_has_no_key_drives_nothing_up(stage: Stage, cache: str, role: str, version: int) -> None:
    stage.meet(cache)
    stage.honest.release("v1", manifest("new"))
    stage.honest.rotate(lambda root: None)
    stage.server.lies[stage.honest.name(role)] = _driven_up(stage, role, version, make_signer())
    stage.refuses(*_refusal(role, version))
    stage.recovers()


def _refusal(role: str, version: int) -> tuple[int, str]:
    if version > LAST:
        return 4, "garbage"
    return (3, "wrong-root") if role == "root" else (3, "signature-invalid")


@pytest.mark.parametrize("role", ["root", "targets"])
def test_a_publishers_own_key_drives_no_role_up_alone(stage: Stage, cache: str, role: str) -> None:
    """A root has to be the next one, and targets the ones that the snapshot names."""
    stage.meet(cache)
    stage.honest.release("v1", manifest("new"))
    stage.honest.rotate(lambda root: None)
    signer = stage.honest.signer(role)
    stage.server.lies[stage.honest.name(role)] = _driven_up(stage, role, LAST, signer)
    stage.refuses(3, "rolled-back")
    stage.recovers()


@pytest.mark.parametrize("version", VERSIONS[1:])
@pytest.mark.parametrize("role", ROLES)
def test_no_key_signs_a_version_beyond_the_last(stage: Stage, cache: str, role: str, version: int) -> None:
    stage.meet(cache)
    stage.honest.release("v1", manifest("new"))
    stage.honest.rotate(lambda root: None)
    data = _driven_up(stage, role, version, stage.honest.signer(role))
    stage.server.lies[stage.honest.name(role)] = data
    stage.refuses(4, "garbage")
    stage.recovers()


def _steal_online_keys(stage: Stage, targets: int | None) -> None:
    """The victim meets a thief of both online keys, who drives up what they sign."""
    evil = stage.honest.as_now()
    evil.forge_online(snapshot=LAST, timestamp=LAST, targets=targets)
    stage.server.collections[str(stage.gun)] = evil
    if targets is None:
        stage.trusts()  # a thief of these keys may sign what is current; no image of the thief's
    else:
        stage.refuses(4, "garbage")  # nobody has targets of that version
    stage.server.collections[str(stage.gun)] = stage.honest
    stage.honest.release("v1", manifest("mended"))
    stage.refuses(3, "rolled-back")


@pytest.mark.parametrize("targets", [None, LAST], ids=["targets as they are", "targets driven up"])
def test_new_snapshot_and_timestamp_keys_mend_it(stage: Stage, cache: str, targets: int | None) -> None:
    """Versions go on from the service's counters, and the keys tell them from the thief's."""
    stage.meet(cache)
    _steal_online_keys(stage, targets)
    stage.honest.rotate_online("snapshot", "timestamp")
    stage.recovers()
    assert stage.honest.current("timestamp").version < 10
    stage.honest.release("v1", manifest("newer"))
    stage.recovers()


def test_a_new_timestamp_key_alone_does_not(stage: Stage, cache: str) -> None:
    """Why both are changed: the snapshot that the victim kept still counts."""
    stage.meet(cache)
    _steal_online_keys(stage, LAST)
    stage.honest.rotate_online("timestamp")
    stage.refuses(3, "rolled-back")
    stage.honest.rotate_online("snapshot")
    stage.recovers()


def test_the_thiefs_files_count_no_more_after_that(stage: Stage, cache: str) -> None:
    stage.meet(cache)
    evil = stage.honest.as_now()
    evil.forge_online(snapshot=LAST, timestamp=LAST)
    stage.honest.rotate_online("snapshot", "timestamp")
    stage.recovers()
    stage.server.lies["timestamp.json"] = evil.files["timestamp"]
    stage.refuses(3, "signature-invalid")
    stage.recovers()


@pytest.mark.parametrize("version", [3, 1000, LAST, 2**31, 2**63])
@pytest.mark.parametrize("role", ["root", "targets"])
def test_the_service_takes_no_version_but_the_next(insider: MakeInsider, role: str, version: int) -> None:
    who = insider()
    who.found("v1")
    good = who.change_root(lambda root: None) if role == "root" else who.release("v1", "new")
    signer = who.root if role == "root" else who.repository
    bad = edited(good[role], lambda value: value["signed"].update(version=version), resign=who.signed(signer))
    who.refused({role: bad}, 400, "bad-version" if version <= LAST else "malformed")
    who.taken(good)
