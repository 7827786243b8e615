"""Rotation of repository, root and signer keys by the command line, with consumers who follow or refuse."""

from __future__ import annotations

import json
import shutil
from itertools import count
from pathlib import Path

import pytest

from tests.service import PASSPHRASE, Person, RunningService

numbers = count()
SIGNER = {"TRUSTKIT_SIGNER_PASSPHRASE": PASSPHRASE}


def keys(person: Person, role: str, gun: str = "") -> list[str]:
    """The ids of the keys of a role that a person has."""
    listed = json.loads(person("key", "list", "--format", "json").out)
    return [key["id"] for key in listed if key["role"] == role and (not gun or key["gun"] == gun)]


def person_like(person: Person, folder: Path, name: str) -> Person:
    """Somebody with a copy of another one's home and login."""
    copy = Person(name, folder / name, dict(person.environ))
    shutil.copytree(person.home, copy.home)
    return copy


@pytest.fixture
def signed(service: RunningService, alice: Person, carol: Person) -> str:
    """A collection with v1 and v2 signed, which carol has pinned and verified."""
    gun = f"{service.host}/rotation/app{next(numbers)}"
    alice.push(f"{gun}:v1"), alice.push(f"{gun}:v2")
    founder = [option for root in keys(alice, "root")[:1] for option in ("--root-key", root)]
    assert alice("sign", f"{gun}:v1", f"{gun}:v2", *founder).status == 0
    assert carol("pin", "add", gun, "--root-key", root_of(alice, gun)).status == 0
    assert carol("verify", f"{gun}:v1", f"{gun}:v2").status == 0
    return gun


def root_of(person: Person, gun: str) -> str:
    """The root key of a collection, as its publisher sees it."""
    shown = json.loads(person("inspect", gun, "--format", "json").out)
    return str(shown[0]["AdministrativeKeys"][0]["Keys"][0]["ID"])


def repository_of(person: Person, gun: str) -> str:
    shown = json.loads(person("inspect", gun, "--format", "json").out)
    return str(shown[0]["AdministrativeKeys"][1]["Keys"][0]["ID"])


def test_a_warm_and_a_cold_consumer_keep_verifying(
    service: RunningService, alice: Person, carol: Person, signed: str
) -> None:
    old = repository_of(alice, signed)
    done = alice("key", "rotate", signed, "--role", "repository")
    assert done.status == 0, done.err
    new = repository_of(alice, signed)
    assert new != old
    assert done.out == f"{signed}: repository key {old[:16]} -> {new}\n"
    assert set(keys(alice, "repository", signed)) == {old, new}, "the old file stays, and is said to be useless"
    assert f"trustkit key remove {old[:16]}" in done.err
    assert carol("verify", f"{signed}:v1", f"{signed}:v2").status == 0
    cold = Person("cold", service.folder / "cold", carol.environ)
    shutil.copytree(carol.home / "docker", cold.home / "docker")
    assert cold("pin", "add", signed, "--root-key", root_of(alice, signed)).status == 0
    assert cold("verify", f"{signed}:v1").status == 0
    assert alice("key", "remove", old, "--yes").status == 0
    alice.push(f"{signed}:v3")
    assert alice("sign", f"{signed}:v3").status == 0


def test_the_old_key_is_refused(alice: Person, signed: str, tmp_path: Path) -> None:
    thief = person_like(alice, tmp_path, "thief")
    for root in keys(thief, "root"):
        assert thief("key", "remove", root, "--yes").status == 0
    assert alice("key", "rotate", signed, "--role", "repository", "--remove-old").status == 0
    assert keys(alice, "repository", signed) == [repository_of(alice, signed)]
    refused = thief("sign", f"{signed}:v1")
    assert (refused.status, refused.slug) == (6, "key-missing"), refused.err


def test_without_the_root_key_it_points_at_the_ceremony_and_makes_nothing(
    alice: Person, signed: str, tmp_path: Path
) -> None:
    online = person_like(alice, tmp_path, "online")
    for root in keys(online, "root"):
        assert online("key", "remove", root, "--yes").status == 0
    before = keys(online, "repository")
    refused = online("key", "rotate", signed, "--role", "repository")
    assert (refused.status, refused.slug) == (6, "key-missing")
    assert "trustkit root propose" in refused.err
    assert keys(online, "repository") == before


def test_several_at_once_have_a_line_each_and_the_first_failure_s_status(
    service: RunningService, alice: Person, signed: str
) -> None:
    nothing = f"{service.host}/rotation/nothing"
    done = alice("key", "rotate", nothing, signed, "--role", "repository")
    assert (done.status, done.slug) == (3, "no-collection"), done.err
    assert done.out.startswith(f"{signed}: repository key ")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "No repository"),
        (("GUN", "--name", "ci"), "--name goes with"),
        (("GUN", "--public", "FILE"), "its private half has to be here"),
        (("GUN", "OTHER", "--revoke", "v1"), "one repository"),
    ],
)
def test_options_that_do_not_go_together(alice: Person, tmp_path: Path, arguments: tuple[str, ...], why: str) -> None:
    file = tmp_path / "key.pub"
    file.write_text("")
    named = {"GUN": "registry.example.com/app", "OTHER": "registry.example.com/b", "FILE": str(file)}
    refused = alice("key", "rotate", "--role", "repository", *(named.get(text, text) for text in arguments))
    assert refused.status == 2
    assert why in refused.err


def test_a_key_of_another_role_is_no_new_repository_key(alice: Person, signed: str) -> None:
    root = root_of(alice, signed)
    refused = alice("key", "rotate", signed, "--role", "repository", "--key", root)
    assert (refused.status, refused.slug) == (6, "wrong-key-role")


def test_a_given_key_and_signers_in_the_collection(alice: Person, carol: Person, signed: str, tmp_path: Path) -> None:
    public = tmp_path / "ci.pub"
    made = alice("key", "generate", "--role", "signer", "--name", "ci", environ=SIGNER)
    assert alice("key", "export", "--public", made.out.strip(), "-o", str(public)).status == 0
    for options in (("ci", "--paths", "v*"), ("dev",)):
        name = options[0]
        if name == "dev":
            made = alice("key", "generate", "--role", "signer", "--name", "dev", environ=SIGNER)
            public = tmp_path / "dev.pub"
            assert alice("key", "export", "--public", made.out.strip(), "-o", str(public)).status == 0
        done = alice("signer", "add", name, signed, "--key", str(public), *options[1:], "-y", environ=SIGNER)
        assert done.status == 0, done.err
    alice.push(f"{signed}:latest")
    assert alice("sign", f"{signed}:latest", environ=SIGNER).status == 0
    given = alice("key", "generate", "--role", "repository", "--gun", signed).out.strip()
    done = alice("key", "rotate", signed, "--role", "repository", "--key", given[:12], environ=SIGNER)
    assert done.status == 0, done.err
    assert repository_of(alice, signed) == given
    assert carol("verify", f"{signed}:v1", f"{signed}:latest").status == 0
    assert alice("revoke", f"{signed}:v2", environ=SIGNER).status == 0, "the new key stands where the old one stood"


def digests(person: Person, gun: str) -> dict[str, str]:
    """By tag what is signed, whoever of those who may has signed it."""
    (collection,) = json.loads(person("inspect", gun, "--format", "json").out)
    return {tag["SignedTag"]: tag["Digest"] for tag in collection["SignedTags"]}


@pytest.mark.parametrize("paths", [("--paths", "v*"), ()], ids=["limited", "of releases"])
def test_a_signer_s_key_is_replaced_and_its_tags_stay(
    alice: Person, carol: Person, signed: str, tmp_path: Path, paths: tuple[str, ...]
) -> None:
    name = "worker-limited" if paths else "worker-any"
    old = alice("key", "generate", "--role", "signer", "--name", name, environ=SIGNER).out.strip()
    public = tmp_path / "signer.pub"
    assert alice("key", "export", "--public", old, "-o", str(public)).status == 0
    assert alice("signer", "add", name, signed, "--key", str(public), *paths, environ=SIGNER).status == 0
    alice.push(f"{signed}:v3")
    assert alice("sign", f"{signed}:v3", environ=SIGNER).status == 0
    before = digests(alice, signed)
    done = alice("key", "rotate", signed, "--role", "signer", "--name", name, environ=SIGNER)
    assert done.status == 0, done.err
    (listed,) = json.loads(alice("signer", "list", signed, "--format", "json").out)
    assert listed["keys"] != [old]
    assert f"signer key {old[:16]} -> {listed['keys'][0]}" in done.out
    assert carol("verify", f"{signed}:v1", f"{signed}:v3").status == 0
    assert "v3" in before
    assert digests(alice, signed) == before
    unknown = alice("key", "rotate", signed, "--role", "signer", "--name", "nobody", environ=SIGNER)
    assert (unknown.status, unknown.slug) == (1, "not-found")


def test_consumers_of_the_old_root_follow_and_a_stranger_s_refuse(
    service: RunningService, alice: Person, carol: Person, signed: str, tmp_path: Path
) -> None:
    old = root_of(alice, signed)
    stranger = Person("stranger", tmp_path / "stranger", carol.environ)
    shutil.copytree(carol.home / "docker", stranger.home / "docker")
    alien = stranger("key", "generate", "--role", "root").out.strip()
    assert stranger("pin", "add", signed, "--root-key", alien).status == 0
    by_file = Person("file", tmp_path / "file", carol.environ)
    shutil.copytree(carol.home / "docker", by_file.home / "docker")
    (tmp_path / "root.json").write_bytes(served_root(alice, signed))
    assert by_file("pin", "add", signed, "--root", str(tmp_path / "root.json")).status == 0

    done = alice("root", "rotate", signed)
    assert done.status == 0, done.err
    new = root_of(alice, signed)
    assert new != old
    assert done.out == f"{signed}: root key {old[:16]} -> {new}\n"
    assert f"trustkit pin add {signed} --root-key {new}" in done.err
    assert "has to pin the new one" in done.err

    for follower in (carol, by_file):
        assert follower("verify", f"{signed}:v1").status == 0
    refused = stranger("verify", f"{signed}:v1")
    assert (refused.status, refused.slug) == (3, "wrong-root")
    fresh = Person("fresh", tmp_path / "fresh", carol.environ)
    shutil.copytree(carol.home / "docker", fresh.home / "docker")
    assert fresh("pin", "add", signed, "--root-key", new).status == 0
    assert fresh("verify", f"{signed}:v1").status == 0, "the root is signed by the new key, too"
    assert root_key_pinned(alice, signed) == new, "the publisher's own pin has moved"
    assert alice("root", "rotate", signed).status == 0, "and again"
    assert carol("verify", f"{signed}:v2").status == 0


def served_root(person: Person, gun: str) -> bytes:
    """The root that a publisher has pinned."""
    pins = json.loads((person.home / "trustkit" / "pins.json").read_text())["pins"]
    return next(pin["root"] for pin in pins if pin["pattern"] == gun).encode()


def root_key_pinned(person: Person, gun: str) -> str:
    listed = json.loads(person("pin", "list", "--format", "json").out)
    return next(pin["root_keys"][0] for pin in listed if pin["pattern"] == gun)


@pytest.mark.parametrize("exact", [True, False], ids=["its own pin", "a pattern's pin"])
def test_a_publisher_s_pin_by_key_moves(
    service: RunningService, alice: Person, signed: str, exact: bool, tmp_path: Path
) -> None:
    pattern = signed if exact else f"{service.host}/*"
    owner = person_like(alice, tmp_path, "owner")
    old = root_of(alice, signed)
    assert owner("pin", "remove", signed).status == 0
    assert owner("pin", "add", pattern, "--root-key", old).status == 0
    done = owner("root", "rotate", signed)
    assert done.status == 0, done.err
    new = root_of(owner, signed)
    pins = {pin["pattern"]: pin["root_keys"] for pin in json.loads(owner("pin", "list", "--format", "json").out)}
    assert pins[signed] == [new]
    assert exact or pins[pattern] == [old], "other collections still have the old root key"
