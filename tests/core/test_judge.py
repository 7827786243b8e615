"""The judge: one row an attack or mistake, with the error that it has to raise."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from tuf.api.metadata import Root

from tests.simulator import DAY, GUN, LIFE, NOW, Publisher, edited, make_signer, manifest
from trustkit.core.evaluate import evaluate
from trustkit.core.formats.tuf1 import GUNS, write_time
from trustkit.core.judge import judge
from trustkit.core.names import Gun, Tag
from trustkit.errors import (
    BadDelegation,
    BadExpiry,
    BadKeys,
    BadSignature,
    BadTarget,
    BadVersion,
    Conflict,
    Malformed,
    TrustkitError,
    WrongGun,
    WrongOnlineKeys,
)


@pytest.fixture
def publisher() -> Publisher:
    made = Publisher()
    made.accept(made.first_upload("v1"))
    return made


def verdict(publisher: Publisher, upload: dict[str, bytes]) -> type[TrustkitError] | None:
    try:
        judge(publisher.state, upload, now=NOW, lifetimes=LIFE)
    except TrustkitError as error:
        return type(error)
    return None


def test_the_first_upload_founds_and_every_later_one_follows(publisher: Publisher) -> None:
    accepted = publisher.accept(publisher.sign_upload("v2", manifest("two")))
    assert set(accepted.changed) == {"v2"}
    view = evaluate(publisher.files, GUN, NOW)
    assert view.targets[Tag("v2")].digest == manifest("two").digest
    assert view.versions == {"root": 1, "targets": 2, "snapshot": 2, "timestamp": 2}
    assert view.expires == (NOW + 7 * DAY)


def test_a_tag_signed_again_keeps_its_old_digest_for_thirty_days(publisher: Publisher) -> None:
    publisher.accept(publisher.sign_upload("v1", manifest("new")))
    target = evaluate(publisher.files, GUN, NOW).targets[Tag("v1")]
    assert [(old.digest, old.until) for old in target.superseded] == [(manifest("v1").digest, NOW + 30 * DAY)]


def _signed(value: dict[str, Any]) -> dict[str, Any]:
    return value["signed"]


def _set(**members: Any) -> Callable[[dict[str, Any]], None]:
    return lambda value: _signed(value).update(members)


def _target(**members: Any) -> Callable[[dict[str, Any]], None]:
    return lambda value: next(iter(_signed(value)["targets"].values())).update(members)


TARGETS_ATTACKS: dict[str, tuple[Callable[[dict[str, Any]], None], type[TrustkitError]]] = {
    "same version again": (_set(version=1), Conflict),
    "skipped version": (_set(version=3), BadVersion),
    "version 0": (_set(version=0), Malformed),
    "version 2^31": (_set(version=2**31), Malformed),
    "another collection": (_set(**{GUNS: ["registry.example.com/team/other"]}), WrongGun),
    "no collection": (lambda value: _signed(value).pop(GUNS), WrongGun),
    "collection is a string": (_set(**{GUNS: str(GUN)}), WrongGun),
    "collection is a number": (_set(**{GUNS: [7]}), WrongGun),
    "expires too late": (_set(expires=write_time(NOW + 5000 * DAY)), BadExpiry),
    "expired": (_set(expires=write_time(NOW - DAY)), BadExpiry),
    "expires at once": (_set(expires=write_time(NOW + timedelta(minutes=1))), BadExpiry),
    "unknown signed member": (_set(extra=1), Malformed),
    "unknown envelope member": (lambda value: value.update(extra=1), Malformed),
    "wrong type": (_set(_type="snapshot"), Malformed),
    "target with sha512": (_target(hashes={"sha256": "a" * 64, "sha512": "b" * 128}), BadTarget),
    "target with a short hash": (_target(hashes={"sha256": "a" * 63}), BadTarget),
    "target without custom": (lambda value: _signed(value)["targets"]["v1"].pop("custom"), BadTarget),
    "target of 5 MiB": (_target(length=5 * 1024 * 1024), BadTarget),
    "target of no bytes": (_target(length=0), BadTarget),
    "target of negative length": (_target(length=-1), Malformed),
    "tag with a slash": (lambda value: _signed(value)["targets"].update({"a/b": 1}), Malformed),
    "tag that leaves the folder": (
        lambda value: _signed(value)["targets"].update({"..": _signed(value)["targets"]["v1"]}),
        BadTarget,
    ),
    "custom with more": (_target(custom={"x-trustkit": {"media_type": "a/b", "superseded": [], "z": 1}}), BadTarget),
    "media type with a newline": (
        _target(custom={"x-trustkit": {"media_type": "a/b\n", "superseded": []}}),
        BadTarget,
    ),
    "superseded for ten years": (
        _target(
            custom={
                "x-trustkit": {
                    "media_type": "a/b",
                    "superseded": [{"digest": "sha256:" + "a" * 64, "until": write_time(NOW + 3650 * DAY)}],
                }
            }
        ),
        BadTarget,
    ),
    "seventeen superseded": (
        _target(
            custom={
                "x-trustkit": {
                    "media_type": "a/b",
                    "superseded": [{"digest": f"sha256:{n:064x}", "until": write_time(NOW + DAY)} for n in range(17)],
                }
            }
        ),
        BadTarget,
    ),
    "delegations": (_set(delegations={"keys": {}, "roles": []}), BadDelegation),
}


@pytest.mark.parametrize("case", TARGETS_ATTACKS)
def test_targets_that_are_refused(publisher: Publisher, case: str) -> None:
    change, expected = TARGETS_ATTACKS[case]
    good = publisher.sign_upload("v2", manifest("two"))
    bad = edited(good["targets"], change, resign=publisher.signed(publisher.repository))
    assert verdict(publisher, {"targets": bad}) is expected
    assert verdict(publisher, good) is None, "the same upload without the change is accepted"


def _lose_threshold(root: Root) -> None:
    root.roles["targets"].threshold = 2


def _loose_key(root: Root) -> None:
    stranger = make_signer().public_key
    root.keys[stranger.keyid] = stranger


def _wrong_online(root: Root) -> None:
    root.roles["snapshot"].keyids.clear()
    root.add_key(make_signer().public_key, "snapshot")
    root.keys = {k: v for k, v in root.keys.items() if any(k in r.keyids for r in root.roles.values())}


def _online_in_targets(root: Root) -> None:
    root.roles["targets"].keyids.append(root.roles["snapshot"].keyids[0])


def _new_repository_key(root: Root) -> None:
    gone = root.roles["targets"].keyids[0]
    root.revoke_key(gone, "targets")
    root.add_key(make_signer().public_key, "targets")


def _alias(root: Root) -> None:
    key = root.keys[root.roles["root"].keyids[0]]
    root.keys["f" * 64] = type(key)("f" * 64, key.keytype, key.scheme, dict(key.keyval))
    root.roles["root"].keyids.append("f" * 64)


ROOT_ATTACKS: dict[str, tuple[Callable[[Root], None], type[TrustkitError]]] = {
    "version again": (lambda root: setattr(root, "version", 1), Conflict),
    "version skipped": (lambda root: setattr(root, "version", 3), BadVersion),
    "threshold that can't be met": (_lose_threshold, BadKeys),
    "a key that no role uses": (_loose_key, BadKeys),
    "another snapshot key": (_wrong_online, WrongOnlineKeys),
    "an online key in targets": (_online_in_targets, BadKeys),
    "stored targets that stop verifying": (_new_repository_key, BadSignature),
    "one key under two ids": (_alias, BadKeys),
    "no consistent snapshots": (lambda root: setattr(root, "consistent_snapshot", False), BadKeys),
    "snapshot threshold 0 keys": (lambda root: root.roles["snapshot"].keyids.clear(), BadKeys),
}


@pytest.mark.parametrize("case", ROOT_ATTACKS)
def test_roots_that_are_refused(publisher: Publisher, case: str) -> None:
    change, expected = ROOT_ATTACKS[case]
    assert verdict(publisher, publisher.change_root(change)) is expected
    assert verdict(publisher, publisher.change_root(lambda root: None)) is None


def test_a_new_root_needs_the_old_keys_and_the_new_ones(publisher: Publisher) -> None:
    fresh = make_signer()

    def rotate(root: Root) -> None:
        root.revoke_key(publisher.root.public_key.keyid, "root")
        root.add_key(fresh.public_key, "root")

    assert verdict(publisher, publisher.change_root(rotate, fresh)) is BadSignature
    assert verdict(publisher, publisher.change_root(rotate, publisher.root)) is BadSignature
    assert verdict(publisher, publisher.change_root(rotate, publisher.root, fresh)) is None


@pytest.mark.parametrize("role", ["snapshot", "timestamp"])
def test_online_roles_are_never_taken(publisher: Publisher, role: str) -> None:
    assert verdict(publisher, {role: publisher.files[role]}) is Malformed


def test_a_first_upload_needs_root_and_targets() -> None:
    fresh = Publisher()
    upload = fresh.first_upload()
    assert verdict(fresh, {"root": upload["root"]}) is Malformed
    assert verdict(fresh, {"targets": upload["targets"]}) is Malformed
    assert verdict(fresh, {}) is Malformed
    assert verdict(fresh, upload) is None


def test_a_delegated_role_is_refused_by_name(publisher: Publisher) -> None:
    assert verdict(publisher, {"releases": b"{}"}) is BadDelegation
    assert verdict(publisher, {"../root": b"{}"}) is BadDelegation


def test_another_publishers_signature_is_refused(publisher: Publisher) -> None:
    stranger = Publisher(publisher.gun)
    stranger.install(publisher.files | {}, NOW)
    assert verdict(publisher, stranger.sign_upload("v1", manifest("evil"))) is BadSignature


def test_another_collections_file_under_the_same_keys_is_refused(publisher: Publisher) -> None:
    other = Publisher(
        Gun.parse("registry.example.com/team/other"), root=publisher.root, repository=publisher.repository
    )
    other.accept(other.first_upload("v1"))
    upload = other.sign_upload("v1", manifest("other"))
    assert verdict(publisher, upload) is WrongGun
