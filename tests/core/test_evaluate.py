"""The evaluation: a collection's files at one moment, and every way in which they must not be believed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from securesystemslib.signer import Signer
from tuf.api.metadata import Root

from tests.simulator import DAY, GUN, LIFE, NOW, Publisher, edited, make_signer, manifest
from trustkit.core.evaluate import BEFORE_ALL, Before, evaluate, evaluate_but_expiry
from trustkit.core.formats.tuf1 import GUNS, ISSUED, read, write_time
from trustkit.core.names import Gun, SignerName, Tag
from trustkit.core.roots import SoundRoots
from trustkit.core.signers import add_signer
from trustkit.errors import Expired, Garbage, NotTrusted, SignatureInvalid, TrustkitError, WrongCollection

ROLES = ("root", "targets", "snapshot", "timestamp")
OTHER = Gun.parse("registry.example.com/team/other")
SECOND = timedelta(seconds=1)


@pytest.fixture
def publisher() -> Publisher:
    made = Publisher()
    made.accept(made.first_upload("v1"))
    made.accept(made.sign_upload("v2", manifest("two")))
    return made


def _signer(publisher: Publisher, role: str) -> Signer:
    signers: dict[str, Signer] = {
        "root": publisher.root,
        "targets": publisher.repository,
        "snapshot": publisher.snapshot,
        "timestamp": publisher.timestamp,
    }
    return signers[role]


def _bent(
    publisher: Publisher, role: str, change: Callable[[dict[str, Any]], None], *signers: Signer
) -> dict[str, bytes]:
    keys = publisher.signed(*(signers or (_signer(publisher, role),)))
    return publisher.files | {role: edited(publisher.files[role], change, resign=keys)}


def verdict(files: dict[str, bytes], now: Any = NOW, gun: Gun = GUN) -> type[TrustkitError] | None:
    try:
        evaluate(files, gun, now)
    except NotTrusted as error:
        return type(error)
    return None


def _set(**members: Any) -> Callable[[dict[str, Any]], None]:
    return lambda value: value["signed"].update(members)


def test_what_is_good_is_seen_whole(publisher: Publisher) -> None:
    view = evaluate(publisher.files, GUN, NOW)
    assert set(view.targets) == {Tag("v1"), Tag("v2")}
    assert view.issued == NOW
    assert view.root_keys == (publisher.root.public_key.keyid,)
    assert view.target_keys == (publisher.repository.public_key.keyid,)


@pytest.mark.parametrize("role", ROLES)
def test_each_role_expires_on_the_second(publisher: Publisher, role: str) -> None:
    files = _bent(publisher, role, _set(expires=write_time(NOW + DAY)))
    assert evaluate(files, GUN, NOW).expires == NOW + DAY
    assert verdict(files, NOW + DAY - SECOND) is None
    with pytest.raises(Expired, match=role) as refusal:
        evaluate(files, GUN, NOW + DAY)
    assert refusal.value.context["role"] == role


def test_a_freeze_ends_with_the_timestamp(publisher: Publisher) -> None:
    assert verdict(publisher.files, NOW + LIFE.default["timestamp"] - SECOND) is None
    assert verdict(publisher.files, NOW + LIFE.default["timestamp"]) is Expired


@pytest.mark.parametrize("role", ["targets", "snapshot", "timestamp"])
def test_versions_are_not_mixed(publisher: Publisher, role: str) -> None:
    mixed = publisher.files | {role: publisher.history[role, 1]}
    assert verdict(mixed) is Garbage
    assert (
        verdict(publisher.files | {r: publisher.history[r, 1] for r in ("targets", "snapshot", "timestamp")}) is None
    )


LIES: dict[str, Callable[[dict[str, Any]], None]] = {
    "a higher version": lambda value: value["signed"]["meta"]["targets.json"].update(version=3),
    "a lower version": lambda value: value["signed"]["meta"]["targets.json"].update(version=1),
    "no targets": lambda value: value["signed"].update(meta={}),
    "targets under another name": lambda value: value["signed"].update(meta={"targets": {"version": 2}}),
    "another length": lambda value: value["signed"]["meta"]["targets.json"].update(length=1),
    "another hash": lambda value: value["signed"]["meta"]["targets.json"].update(hashes={"sha256": "a" * 64}),
    "a hash that nobody has": lambda value: value["signed"]["meta"]["targets.json"].update(hashes={"x": "a"}),
}


@pytest.mark.parametrize("case", LIES)
def test_a_snapshot_that_lies(publisher: Publisher, case: str) -> None:
    assert verdict(_bent(publisher, "snapshot", LIES[case])) is Garbage


def test_a_timestamp_that_lies(publisher: Publisher) -> None:
    def lie(**members: Any) -> Callable[[dict[str, Any]], None]:
        return lambda value: value["signed"]["meta"]["snapshot.json"].update(members)

    assert verdict(_bent(publisher, "timestamp", lie(version=3))) is Garbage
    assert verdict(_bent(publisher, "timestamp", lie(hashes={"sha256": "a" * 64}))) is Garbage
    assert verdict(_bent(publisher, "timestamp", lie(length=len(publisher.files["snapshot"])))) is None


@pytest.mark.parametrize("role", ROLES)
def test_another_collections_file_under_the_same_keys(publisher: Publisher, role: str) -> None:
    other = Publisher(OTHER, root=publisher.root, repository=publisher.repository)
    other.snapshot, other.timestamp = publisher.snapshot, publisher.timestamp
    other.accept(other.first_upload("v1"))
    other.accept(other.sign_upload("v2", manifest("evil")))
    assert verdict(other.files, gun=OTHER) is None
    assert verdict(publisher.files | {role: other.files[role]}) is WrongCollection


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("named", [None, [], "x", [str(OTHER)], ["registry.example.com/Team/app"]], ids=repr)
def test_a_file_that_does_not_name_the_collection(publisher: Publisher, role: str, named: Any) -> None:
    assert verdict(_bent(publisher, role, _set(**{GUNS: named}))) is WrongCollection


@pytest.mark.parametrize("role", ROLES)
def test_a_renamed_collection_is_both(publisher: Publisher, role: str) -> None:
    assert verdict(_bent(publisher, role, _set(**{GUNS: [str(OTHER), str(GUN)]}))) is None


@pytest.mark.parametrize("role", ROLES)
def test_signatures_have_to_be_there_and_right(publisher: Publisher, role: str) -> None:
    own = _signer(publisher, role).public_key.keyid
    wrong: dict[str, Callable[[dict[str, Any]], None]] = {
        "none": lambda value: value.update(signatures=[]),
        "of other bytes": lambda value: value["signed"].update(spec_version="1.0.30"),
        "cut": lambda value: value["signatures"][0].update(sig=value["signatures"][0]["sig"][:-2]),
        "zeros": lambda value: value["signatures"][0].update(sig="00" * 64),
        "under another id": lambda value: value["signatures"][0].update(keyid="f" * 64),
    }
    for case, change in wrong.items():
        files = publisher.files | {role: edited(publisher.files[role], change)}
        assert verdict(files) is SignatureInvalid, case
    stranger = make_signer()
    assert verdict(_bent(publisher, role, lambda value: None, stranger)) is SignatureInvalid

    def claim(value: dict[str, Any]) -> None:
        value["signatures"][0]["keyid"] = own

    forged = edited(_bent(publisher, role, lambda value: None, stranger)[role], claim)
    assert verdict(publisher.files | {role: forged}) is SignatureInvalid


def test_every_role_needs_its_own_key(publisher: Publisher) -> None:
    for role in ROLES:
        for other in ROLES:
            if role != other:
                files = _bent(publisher, role, lambda value: None, _signer(publisher, other))
                assert verdict(files) is SignatureInvalid, (role, other)


def test_an_unmet_threshold_and_an_alias_that_would_meet_it(publisher: Publisher) -> None:
    second = make_signer()

    def two(root: Root) -> None:
        root.add_key(second.public_key, "targets")
        root.roles["targets"].threshold = 2

    files = publisher.files | publisher.change_root(two)
    assert verdict(files) is SignatureInvalid
    both = publisher.signed(publisher.repository, second)
    assert verdict(files | {"targets": edited(files["targets"], lambda value: None, resign=both)}) is None

    def alias(root: Root) -> None:
        key = publisher.repository.public_key
        root.keys["f" * 64] = type(key)("f" * 64, key.keytype, key.scheme, dict(key.keyval))
        root.roles["targets"].keyids.append("f" * 64)
        root.roles["targets"].threshold = 2

    twice = {publisher.repository.public_key.keyid: publisher.repository, "f" * 64: publisher.repository}
    files = publisher.files | publisher.change_root(alias)
    files["targets"] = edited(files["targets"], lambda value: None, resign=twice)
    assert verdict(files) is SignatureInvalid


GARBAGE: dict[str, Callable[[bytes], bytes]] = {
    "a duplicate member": lambda data: data.replace(b'"signed":{', b'"signed":{"version":9,', 1),
    "a duplicate that agrees": lambda data: data.replace(b'"_type"', b'"spec_version":"1.0.31","_type"', 1),
    "a newline": lambda data: data + b"\n",
    "HTML": lambda data: b"<html>",
    "nothing": lambda data: b"",
    "too much": lambda data: b" " * 6_000_000,
}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("case", GARBAGE)
def test_garbage(publisher: Publisher, role: str, case: str) -> None:
    assert verdict(publisher.files | {role: GARBAGE[case](publisher.files[role])}) is Garbage


@pytest.mark.parametrize("role", ROLES)
def test_a_missing_or_swapped_file_is_garbage(publisher: Publisher, role: str) -> None:
    assert verdict({r: data for r, data in publisher.files.items() if r != role}) is Garbage
    other = ROLES[ROLES.index(role) - 1]
    assert verdict(publisher.files | {role: publisher.files[other]}) is Garbage


def test_what_targets_may_not_hold(publisher: Publisher) -> None:
    entry = {"length": 1, "hashes": {"sha256": "a" * 64}}
    assert verdict(_bent(publisher, "targets", lambda v: v["signed"]["targets"].update({"../x": entry}))) is Garbage
    assert verdict(_bent(publisher, "targets", _set(delegations={"keys": {}, "roles": []}))) is Garbage
    assert verdict(_bent(publisher, "timestamp", _set(**{ISSUED: "now"}))) is Garbage
    assert verdict(_bent(publisher, "targets", _set(version=True))) is Garbage


def test_what_entries_said_before_is_taken_for_the_same_role_only(publisher: Publisher) -> None:
    """With the first signer the tags move from targets to releases, which answers for them from then on."""
    said = {tag.name: target for tag, target in evaluate(publisher.files, GUN, NOW).targets.items()}
    key = make_signer().public_key
    publisher.accept(publisher.change(lambda draft: add_signer(draft, SignerName("bob"), key)))
    before = Before(said=said)
    view = evaluate_but_expiry(publisher.files, GUN, NOW, fresh=(), before=before)
    assert view == evaluate(publisher.files, GUN, NOW)
    assert {target.role for target in view.targets.values()} == {"releases"}
    assert evaluate_but_expiry(publisher.files, GUN, BEFORE_ALL, fresh=(), before=Before(said={})) == view


@pytest.mark.parametrize("other", ["too few signatures", "a key twice"])
def test_a_root_is_remembered_as_sound_for_its_bytes_alone(publisher: Publisher, other: str) -> None:
    sound = Before(SoundRoots(10_000))

    def change(value: dict[str, Any]) -> None:
        signed = value["signed"]
        if other == "a key twice":
            key_id = signed["roles"]["targets"]["keyids"][0]
            signed["keys"]["0" * 64] = signed["keys"][key_id]
            signed["roles"]["targets"]["keyids"].append("0" * 64)
        else:
            signed["roles"]["root"]["threshold"] = 1
            value["signatures"] = [{"keyid": signed["roles"]["root"]["keyids"][0], "sig": "00" * 64}]

    for _ in range(2):
        assert evaluate_but_expiry(publisher.files, GUN, NOW, fresh=(), before=sound).targets
        keys = None if other == "too few signatures" else publisher.signed(publisher.root)
        bent = publisher.files | {"root": edited(publisher.files["root"], change, resign=keys)}
        with pytest.raises(SignatureInvalid):
            evaluate_but_expiry(bent, GUN, NOW, fresh=(), before=sound)


def test_what_is_remembered_of_roots_stays_small(publisher: Publisher) -> None:
    first = publisher.files["root"]
    remembering = SoundRoots(len(first))
    publisher.accept(publisher.change_root(lambda root: None))
    second = publisher.files["root"]
    for data in (first, second, first):
        remembering(read(data, Root), data)
    assert remembering.remembered == {first}
