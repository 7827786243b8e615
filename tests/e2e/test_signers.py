"""Signers for a lifetime: added, limited to paths, removed and added again, on the running service."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.service import PASSPHRASE, Person, Result, RunningService


def signer_key(person: Person, name: str, folder: Path) -> Path:
    public = folder / f"{name}.pub"
    made = person(
        "key", "generate", "--role", "signer", "--name", name, environ={"TRUSTKIT_SIGNER_PASSPHRASE": PASSPHRASE}
    )
    assert made.status == 0, made.err
    shown = person("key", "export", "--public", "-o", str(public), made.out.strip())
    assert shown.status == 0, shown.err
    return public


@pytest.fixture
def ci(service: RunningService, tmp_path: Path) -> Person:
    """Somebody whose home has a signer key only, and who may publish."""
    name = f"ci-{tmp_path.name.replace('_', '-')}"[:60].rstrip("-")
    person = service.principal(name, "AcrPush", "AcrImageSigner")
    person.environ["TRUSTKIT_SIGNER_PASSPHRASE"] = PASSPHRASE
    return person


@pytest.fixture
def gun(service: RunningService, tmp_path: Path, alice: Person) -> str:
    """A collection of alice's with one signed tag, ``latest``."""
    named = f"{service.host}/signers/{tmp_path.name.replace('_', '-')}"
    alice.push(f"{named}:latest", "latest")
    assert_done(alice("sign", f"{named}:latest"))
    return named


def assert_done(result: Result) -> Result:
    assert result.status == 0, result.err
    return result


def pin(person: Person, alice: Person, gun: str) -> None:
    assert_done(person("pin", "add", gun, "--root-key", alice.root_key()))


def test_a_ci_key_signs_its_paths_and_nothing_else(alice: Person, ci: Person, gun: str, tmp_path: Path) -> None:
    public = signer_key(ci, "ci", tmp_path)
    added = assert_done(alice("signer", "add", "ci", "--key", str(public), "--paths", "v*", gun))
    assert added.out.strip() == f"{gun}: ci signs v*"
    pin(ci, alice, gun)
    digest = ci.push(f"{gun}:v1", "one")
    assert assert_done(ci("sign", f"{gun}:v1")).out.strip() == f"{gun}:v1@{digest}"
    refused = ci("sign", f"{gun}:latest")
    assert (refused.status, refused.slug) == (6, "key-missing")
    assert "The key of ci may sign v* only." in refused.err
    assert assert_done(ci("verify", f"{gun}:v1", f"{gun}:latest")).status == 0


def test_the_owner_signs_what_no_signer_has_to_itself(alice: Person, ci: Person, gun: str, tmp_path: Path) -> None:
    public = signer_key(ci, "ci", tmp_path)
    assert_done(alice("signer", "add", "ci", "--key", str(public), "--paths", "v*", gun))
    for tag in ("v2", "edge"):
        alice.push(f"{gun}:{tag}", tag)
        assert_done(alice("sign", f"{gun}:{tag}"))
    listed = json.loads(assert_done(alice("signer", "list", gun, "--format", "json")).out)
    assert [(row["name"], row["paths"], row["tags"]) for row in listed] == [("ci", ["v*"], 1)]
    revoked = assert_done(alice("revoke", f"{gun}:v2"))
    assert revoked.status == 0
    assert alice("verify", f"{gun}:v2").slug == "unsigned"


def test_the_first_signer_moves_the_tags_that_are_there(
    alice: Person, carol: Person, gun: str, tmp_path: Path
) -> None:
    alice.push(f"{gun}:v1", "one")
    assert_done(alice("sign", f"{gun}:v1"))
    pin(carol, alice, gun)
    assert_done(carol("verify", f"{gun}:v1", f"{gun}:latest"))
    public = signer_key(alice, "ci", tmp_path)
    dry = assert_done(alice("signer", "add", "ci", "--key", str(public), "--paths", "v*", gun, "--dry-run"))
    assert "moves from targets to ci" in dry.out
    assert "No tags would stop being trusted" in dry.out
    assert_done(alice("signer", "add", "ci", "--key", str(public), "--paths", "v*", gun))
    assert_done(carol("verify", f"{gun}:v1", f"{gun}:latest"))


@pytest.mark.parametrize("paths", [("--paths", "v*"), ()], ids=["limited", "releases"])
def test_a_removed_signer_takes_only_its_own_tags_along(
    alice: Person, ci: Person, carol: Person, gun: str, tmp_path: Path, paths: tuple[str, ...]
) -> None:
    public = signer_key(ci, "ci", tmp_path)
    assert_done(alice("signer", "add", "ci", "--key", str(public), *paths, gun))
    pin(ci, alice, gun)
    pin(carol, alice, gun)
    ci.push(f"{gun}:v1", "one")
    assert_done(ci("sign", f"{gun}:v1"))
    assert_done(carol("verify", f"{gun}:v1", f"{gun}:latest"))

    dry = assert_done(alice("signer", "remove", "ci", gun, "--dry-run"))
    assert "v1: sha256:" in dry.out
    assert "latest: sha256:" not in dry.out or "moves from" in dry.out
    assert "1 tag would stop being trusted" in dry.out
    assert_done(carol("verify", f"{gun}:v1"))

    asked = alice("signer", "remove", "ci", gun)
    assert (asked.status, asked.slug) == (2, "usage")
    assert_done(alice("signer", "remove", "ci", gun, "--yes"))
    assert carol("verify", f"{gun}:v1").slug == "unsigned"
    assert_done(carol("verify", f"{gun}:latest"))
    assert ci("sign", f"{gun}:v1").slug == "key-missing"

    assert_done(alice("signer", "add", "ci", "--key", str(public), *paths, gun))
    assert_done(ci("sign", f"{gun}:v1"))
    assert_done(carol("verify", f"{gun}:v1", f"{gun}:latest"))


@pytest.mark.parametrize("paths", [("--paths", "v*"), ()], ids=["limited", "releases"])
def test_resigning_keeps_what_a_removed_signer_signed(
    alice: Person, ci: Person, carol: Person, gun: str, tmp_path: Path, paths: tuple[str, ...]
) -> None:
    public = signer_key(ci, "ci", tmp_path)
    assert_done(alice("signer", "add", "ci", "--key", str(public), *paths, gun))
    pin(ci, alice, gun)
    pin(carol, alice, gun)
    ci.push(f"{gun}:v1", "one")
    assert_done(ci("sign", f"{gun}:v1"))
    assert_done(alice("signer", "remove", "ci", gun, "--resign"))
    assert_done(carol("verify", f"{gun}:v1", f"{gun}:latest"))
    assert json.loads(alice("signer", "list", gun, "--format", "json").out) == []


def test_a_replaced_key_signs_no_more(alice: Person, ci: Person, carol: Person, gun: str, tmp_path: Path) -> None:
    public = signer_key(ci, "ci", tmp_path)
    assert_done(alice("signer", "add", "ci", "--key", str(public), "--paths", "v*", gun))
    pin(ci, alice, gun)
    pin(carol, alice, gun)
    ci.push(f"{gun}:v1", "one")
    assert_done(ci("sign", f"{gun}:v1"))
    (tmp_path / "new").mkdir()
    new = signer_key(alice, "ci", tmp_path / "new")
    assert_done(alice("signer", "add", "ci", "--key", str(new), "--replace", "--yes", gun))
    assert carol("verify", f"{gun}:v1").slug == "unsigned"
    assert ci("sign", f"{gun}:v1").slug == "key-missing"


def test_errors_name_the_cause(alice: Person, bob: Person, gun: str, tmp_path: Path) -> None:
    public = signer_key(alice, "dora", tmp_path)
    assert_done(alice("signer", "add", "dora", "--key", str(public), gun))
    cases = [
        (("signer", "add", "dora", "--key", str(public), gun), 1, "conflict"),
        (("signer", "add", "eve", "--key", str(public), gun), 1, "conflict"),
        (("signer", "remove", "eve", gun), 1, "not-found"),
        (("signer", "add", "releases", "--key", str(public), gun), 2, "invalid-name"),
        (("signer", "add", "eve", "--key", str(public), "--paths", "v[1]", gun), 2, "invalid-name"),
        (("signer", "add", "eve", "--key", __file__, gun), 6, "key-file-invalid"),
    ]
    for arguments, status, slug in cases:
        refused = alice(*arguments)
        assert (refused.status, refused.slug) == (status, slug), (arguments, refused.err)
    without = bob("signer", "remove", "dora", gun)
    assert (without.status, without.slug) == (5, "role-missing")


def test_of_several_repositories_the_ones_before_a_failure_are_done(alice: Person, gun: str, tmp_path: Path) -> None:
    second, third = f"{gun}-second", f"{gun}-third"
    for other in (second, third):
        alice.push(f"{other}:latest", other)
        assert_done(alice("sign", f"{other}:latest"))
    public = signer_key(alice, "dora", tmp_path)
    assert_done(alice("signer", "add", "dora", "--key", str(public), second))
    added = alice("signer", "add", "dora", "--key", str(public), gun, second, third)
    assert (added.status, added.slug) == (1, "conflict")
    assert added.out == f"{gun}: dora signs every other tag\n"
    assert f"Done: {gun}. Failed: {second}. Not tried: {third}." in added.err
    removed = alice("signer", "remove", "dora", second, gun, third, "--yes")
    assert (removed.status, removed.slug) == (1, "not-found")
    assert removed.out == "".join(f"{each}: dora signs nothing any more\n" for each in (second, gun))
