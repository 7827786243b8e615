"""Two of three for root and for targets: raised by proposals, held by the service and by consumers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.test_signers import assert_done, pin
from tests.e2e.test_thresholds import refused, the_proposal
from tests.service import Person, RunningService


@pytest.fixture(scope="module")
def dora(service: RunningService) -> Person:
    return service.principal("dora", "AcrPush", "AcrImageSigner")


@pytest.fixture(scope="module")
def erin(service: RunningService) -> Person:
    return service.principal("erin", "AcrPush", "AcrImageSigner")


@pytest.fixture
def gun(service: RunningService, tmp_path: Path, alice: Person, dora: Person, erin: Person, carol: Person) -> str:
    """A collection with the tag ``latest`` and three root and three repository keys, any one of which will do."""
    named = f"{service.host}/three/{tmp_path.name.replace('_', '-')}"
    alice.push(f"{named}:latest", "latest")
    assert_done(alice("sign", f"{named}:latest"))
    for person in (dora, erin, carol):
        pin(person, alice, named)
    change = []
    for person in (alice, dora, erin):
        role_files = {role: tmp_path / f"{person.name}-{role}.pub" for role in ("root", "repository")}
        if person is not alice:
            keys = json.loads(assert_done(person("key", "list", "--format", "json")).out)
            root = next((key["id"] for key in keys if key["role"] == "root"), None)
            root = root or assert_done(person("key", "generate", "--role", "root")).out.strip()
            made = assert_done(person("key", "generate", "--role", "repository", "--gun", named))
            export(person, root, role_files["root"])
            export(person, made.out.strip(), role_files["repository"])
            change += ["--add-key", str(role_files["root"])]
        else:
            keys = json.loads(assert_done(alice("key", "list", "--format", "json")).out)
            own = next(key["id"] for key in keys if key["role"] == "repository" and key["gun"] == named)
            export(alice, own, role_files["repository"])
        change += ["--repository-key", str(role_files["repository"])]
    ceremony = tmp_path / "ceremony.json"
    assert_done(alice("root", "propose", named, "-o", str(ceremony), *change))
    assert_done(alice("root", "sign", str(ceremony), "--yes"))
    assert_done(alice("root", "publish", str(ceremony)))
    return named


def export(person: Person, key_id: str, file: Path) -> None:
    assert_done(person("key", "export", "--public", "-o", str(file), key_id))


def thresholds(person: Person, gun: str) -> dict[str, str]:
    rows = json.loads(assert_done(person("threshold", "show", gun, "--format", "json")).out)
    return {row["role"]: f"{row['threshold']} of {len(row['keys'])}" for row in rows}


def test_root_and_targets_take_two_of_three(
    alice: Person, dora: Person, erin: Person, carol: Person, gun: str
) -> None:
    dry = assert_done(alice("threshold", "set", gun, "--role", "root", "2", "--dry-run"))
    assert "root takes 2 signatures instead of 1" in dry.out
    assert thresholds(carol, gun) == {"root": "1 of 3", "targets": "1 of 3"}

    proposed = assert_done(alice("threshold", "set", gun, "--role", "root", "2"))
    assert "takes 1 more signature, as the new root says" in proposed.err
    assert thresholds(carol, gun)["root"] == "1 of 3"
    told = refused(erin("threshold", "set", gun, "--role", "root", "3"), 1, "proposal-open")
    assert the_proposal(erin, gun) in told.err
    assert_done(dora("approve", gun, the_proposal(dora, gun), "--yes"))
    assert thresholds(carol, gun) == {"root": "2 of 3", "targets": "1 of 3"}

    proposed = assert_done(erin("threshold", "set", gun, "--role", "targets", "2"))
    assert "root takes 1 more signature, as the old root says" in proposed.err
    assert "targets takes 1 more signature, as the root says" in proposed.err
    assert_done(alice("approve", gun, the_proposal(alice, gun), "--yes"))
    assert thresholds(carol, gun) == {"root": "2 of 3", "targets": "2 of 3"}
    assert_done(carol("verify", f"{gun}:latest"))

    digest = dora.push(f"{gun}:v1", "one")
    assert_done(dora("sign", f"{gun}:v1"))
    refused(carol("verify", f"{gun}:v1"), 3, "unsigned")
    done = assert_done(erin("approve", gun, the_proposal(erin, gun), "--yes"))
    assert done.out.strip() == f"{gun}:v1@{digest}"
    assert_done(carol("verify", f"{gun}:v1", f"{gun}:latest"))


def test_more_signatures_than_keys_name_the_way_to_more_keys(alice: Person, gun: str) -> None:
    for role, way in (("root", "--add-key"), ("targets", "--repository-key")):
        told = refused(alice("threshold", "set", gun, "--role", role, "4"), 2, "usage")
        assert f"{role} of {gun} has 3 keys; it can't take 4 signatures" in told.err
        assert f"trustkit root propose {way}" in told.err


@pytest.mark.parametrize("role", ["root", "targets"])
def test_all_of_the_keys_can_be_asked_for(
    alice: Person, dora: Person, erin: Person, carol: Person, gun: str, role: str
) -> None:
    """Three signatures: the second one isn't the last, and the tag stays trusted all the while."""
    assert_done(alice("threshold", "set", gun, "--role", role, "3"))
    identifier = the_proposal(dora, gun)
    waits = assert_done(dora("approve", gun, identifier, "--yes"))
    assert waits.out == ""
    assert "takes 1 more signature" in waits.err
    assert_done(carol("verify", f"{gun}:latest"))
    refused(dora("approve", gun, identifier, "--yes"), 6, "key-missing")
    assert_done(erin("approve", gun, identifier, "--yes"))
    assert thresholds(carol, gun)[role] == "3 of 3"
    assert_done(carol("verify", f"{gun}:latest"))
