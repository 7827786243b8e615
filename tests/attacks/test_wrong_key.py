"""Metadata signed with a key that isn't the role's (TRUST 3.3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from securesystemslib.signer import Signer

from tests.attacks.collection import ROLES, Collection
from tests.attacks.conftest import MakeInsider
from tests.attacks.evil import Stage
from tests.simulator import Publisher, edited, make_signer, manifest

STRANGER = make_signer()

Keys = Callable[[dict[str, Signer], str], dict[str, Signer] | None]
"""From the publisher's keys by role, and the role attacked: who signs, by the id that stands at the signature."""


def _own(signer: Signer) -> dict[str, Signer]:
    return {signer.public_key.keyid: signer}


CASES: dict[str, Keys] = {
    "a stranger's key": lambda keys, role: _own(STRANGER),
    "a stranger's key under the role's id": lambda keys, role: {keys[role].public_key.keyid: STRANGER},
    "the root key": lambda keys, role: _own(keys["root" if role != "root" else "targets"]),
    "the repository key": lambda keys, role: _own(keys["targets" if role != "targets" else "root"]),
    "the snapshot key": lambda keys, role: _own(keys["snapshot" if role != "snapshot" else "targets"]),
    "the timestamp key": lambda keys, role: _own(keys["timestamp" if role != "timestamp" else "targets"]),
    "every other role's key": lambda keys, role: {k.public_key.keyid: k for name, k in keys.items() if name != role},
    "no key": lambda keys, role: {},
    "the right key, for other bytes": lambda keys, role: None,
}


def _change(value: dict[str, Any]) -> None:
    """Something that the true signature doesn't cover: another expiry, and an image of the attacker's."""
    expires = value["signed"]["expires"]
    value["signed"]["expires"] = expires[:-3] + ("00Z" if expires.endswith("59Z") else "59Z")
    for target in value["signed"].get("targets", {}).values():
        target["hashes"]["sha256"] = "e" * 64


def _keys(publisher: Publisher) -> dict[str, Signer]:
    return {
        "root": publisher.root,
        "targets": publisher.repository,
        "snapshot": publisher.snapshot,
        "timestamp": publisher.timestamp,
    }


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("role", ROLES)
def test_a_role_signed_with_another_key(stage: Stage, cache: str, role: str, case: str) -> None:
    stage.meet(cache)
    stage.honest.release("v1", manifest("new"))
    stage.honest.rotate(lambda root: None)
    forged = edited(stage.honest.files[role], _change, resign=CASES[case](_keys(stage.honest), role))
    stage.server.lies[stage.honest.name(role)] = forged
    stage.refuses(3, "wrong-root" if role == "root" else "signature-invalid")
    stage.recovers()


def test_a_strangers_whole_collection(stage: Stage, cache: str) -> None:
    stage.meet(cache)
    evil = Collection(stage.gun)
    evil.found("v1")
    evil.rotate(lambda root: None)
    evil.release("v1", manifest("evil"))
    stage.server.collections[str(stage.gun)] = evil
    stage.refuses(3, "wrong-root")
    asked = stage.victim.as_process("verify", stage.ref)
    assert (asked.status, asked.slug, asked.out) == (3, "wrong-root", "")
    stage.pin_file(stage.victim, stage.honest.files["root"])
    stage.refuses(3, "wrong-root")
    stage.recovers()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("role", ["root", "targets"])
def test_the_service_takes_no_role_signed_with_another_key(insider: MakeInsider, role: str, case: str) -> None:
    who = insider()
    who.found("v1")
    good = who.change_root(lambda root: None) if role == "root" else who.release("v1", "new")
    bad = edited(good[role], _change, resign=CASES[case](_keys(who), role))
    who.refused({role: bad}, 400, "bad-signature")
    who.taken(good)


def test_a_stranger_with_every_role_signs_nothing_in_anothers_collection(insider: MakeInsider) -> None:
    who = insider()
    who.found("v1")
    mine, theirs = who.repository, make_signer()
    who.repository = theirs
    who.refused(who.release("v1", "evil"), 400, "bad-signature")
    who.root = theirs
    who.refused(who.change_root(lambda root: None), 400, "bad-signature")
    who.repository = mine
    who.taken(who.release("v1", "new"))
