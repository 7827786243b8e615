"""Two people sign: thresholds are raised, tags proposed and approved, stale and dropped, on the running service."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.test_signers import assert_done, pin, signer_key
from tests.service import PASSPHRASE, Person, Result, RunningService

SIGNER = {"TRUSTKIT_SIGNER_PASSPHRASE": PASSPHRASE}


@pytest.fixture(scope="module")
def bob(service: RunningService) -> Person:
    """The other signer: a signer key, no repository key."""
    person = service.principal("bob-signs", "AcrPush", "AcrImageSigner")
    person.environ |= SIGNER
    return person


@pytest.fixture
def gun(service: RunningService, tmp_path: Path, alice: Person, bob: Person, carol: Person) -> str:
    """A collection with the tag ``latest``, signed by alice alone; bob is one of releases."""
    named = f"{service.host}/two/{tmp_path.name.replace('_', '-')}"
    alice.push(f"{named}:latest", "latest")
    assert_done(alice("sign", f"{named}:latest"))
    public = tmp_path / "bob.pub"
    found = json.loads(assert_done(bob("key", "list", "--format", "json")).out)
    if found:
        assert_done(bob("key", "export", "--public", "-o", str(public), found[0]["id"]))
    else:
        public = signer_key(bob, "bob", tmp_path)
    assert_done(alice("signer", "add", "bob", "--key", str(public), named))
    for person in (bob, carol):
        pin(person, alice, named)
    return named


def proposals(person: Person, gun: str) -> list[dict[str, object]]:
    return list(json.loads(assert_done(person("proposal", "list", gun, "--format", "json")).out))


def the_proposal(person: Person, gun: str) -> str:
    (found,) = proposals(person, gun)
    return str(found["id"])


def raise_to_two(alice: Person, bob: Person, gun: str) -> None:
    proposed = assert_done(alice("threshold", "set", gun, "--role", "releases", "2"))
    assert proposed.out == ""
    assert_done(bob("approve", gun, the_proposal(bob, gun), "--yes"))


def refused(result: Result, status: int, slug: str) -> Result:
    assert (result.status, result.slug) == (status, slug), result.err
    return result


@pytest.mark.parametrize("first", ["the owner", "the signer"])
def test_one_signature_leaves_a_tag_untrusted_and_the_second_makes_it_trusted(
    alice: Person, bob: Person, carol: Person, gun: str, first: str
) -> None:
    assert_done(alice("threshold", "set", gun, "--role", "releases", "2"))
    assert_done(carol("verify", f"{gun}:latest"))
    assert [(row["role"], row["missing"]) for row in proposals(alice, gun)] == [("releases", 1)]
    approved = assert_done(bob("approve", gun, the_proposal(bob, gun), "--yes"))
    assert "releases takes 2 signatures instead of 1" in approved.err
    assert_done(carol("verify", f"{gun}:latest"))

    one, other = (alice, bob) if first == "the owner" else (bob, alice)
    digest = alice.push(f"{gun}:v1", "one")
    signed = assert_done(one("sign", f"{gun}:v1"))
    identifier = the_proposal(one, gun)
    assert signed.out == ""
    assert identifier in signed.err
    assert f"trustkit approve {gun} {identifier}" in signed.err
    assert ("bob" if first == "the owner" else "a repository key") in signed.err
    refused(carol("verify", f"{gun}:v1"), 3, "unsigned")
    refused(one("approve", gun, identifier, "--yes"), 6, "key-missing")
    refused(other("approve", gun, identifier), 2, "usage")
    refused(carol("verify", f"{gun}:v1"), 3, "unsigned")
    done = assert_done(other("approve", gun, identifier, "--yes"))
    assert f"v1: {digest} is signed by releases" in done.err
    assert done.out.strip() == f"{gun}:v1@{digest}"
    assert_done(carol("verify", f"{gun}:v1", f"{gun}:latest"))
    assert proposals(one, gun) == []
    refused(other("approve", gun, identifier, "--yes"), 1, "not-found")


def test_another_publish_to_the_role_is_told_of_the_proposal(alice: Person, bob: Person, gun: str) -> None:
    raise_to_two(alice, bob, gun)
    alice.push(f"{gun}:v1", "one")
    assert_done(alice("sign", f"{gun}:v1"))
    told = refused(bob("sign", f"{gun}:v1"), 1, "proposal-open")
    assert the_proposal(bob, gun) in told.err


def test_what_was_signed_for_a_dropped_proposal_does_not_come_back(
    alice: Person, bob: Person, carol: Person, gun: str
) -> None:
    raise_to_two(alice, bob, gun)
    alice.push(f"{gun}:v1", "one")
    assert_done(alice("sign", f"{gun}:v1"))
    dropped = the_proposal(bob, gun)
    assert_done(bob("proposal", "drop", gun, dropped))
    refused(bob("approve", gun, dropped, "--yes"), 1, "not-found")
    assert_done(alice("sign", f"{gun}:v1"))
    again = the_proposal(bob, gun)
    assert again != dropped
    assert_done(bob("approve", gun, again, "--yes"))
    assert_done(carol("verify", f"{gun}:v1"))


def test_a_stale_proposal_says_why_and_can_be_dropped(
    alice: Person, bob: Person, carol: Person, gun: str, tmp_path: Path
) -> None:
    """A signer gets ``v*`` to itself meanwhile, so releases can't sign v1 any more."""
    raise_to_two(alice, bob, gun)
    alice.push(f"{gun}:v1", "one")
    assert_done(bob("sign", f"{gun}:v1"))
    identifier = the_proposal(alice, gun)
    public = tmp_path / "v.pub"
    made = assert_done(alice("key", "generate", "--role", "signer", "--name", "v", environ=SIGNER))
    assert_done(alice("key", "export", "--public", "-o", str(public), made.out.strip()))
    assert_done(alice("signer", "add", "v", "--key", str(public), "--paths", "v*", gun))
    (listed,) = proposals(bob, gun)
    assert listed["stale"]
    assert "which v answers for" in str(listed["reason"])
    assert "it can only be dropped" in assert_done(bob("proposal", "show", gun, identifier)).out
    told = refused(alice("approve", gun, identifier, "--yes"), 1, "proposal-stale")
    assert f"trustkit proposal drop {gun} {identifier}" in told.err
    assert_done(alice("proposal", "drop", gun, identifier))
    assert proposals(bob, gun) == []
    assert_done(carol("verify", f"{gun}:latest"))


def test_the_owner_alone_signs_anew_where_all_keys_are_here(
    alice: Person, carol: Person, service: RunningService, tmp_path: Path
) -> None:
    gun = f"{service.host}/alone/{tmp_path.name.replace('_', '-')}"
    digest = alice.push(f"{gun}:v1", "one")
    assert_done(alice("sign", f"{gun}:v1"))
    pin(carol, alice, gun)
    few = refused(alice("threshold", "set", gun, "--role", "releases", "2"), 2, "usage")
    assert "has 1 key; it can't take 2 signatures" in few.err
    alice.environ |= SIGNER
    public = signer_key(alice, "second", tmp_path)
    assert_done(alice("signer", "add", "second", "--key", str(public), gun))
    dry = assert_done(alice("threshold", "set", gun, "--role", "releases", "2", "--withdraw", "--dry-run"))
    assert f"v1: {digest}, signed by releases, is withdrawn" in dry.out
    assert "1 tag would stop being trusted" in dry.out
    set_now = assert_done(alice("threshold", "set", gun, "--role", "releases", "2"))
    assert set_now.out.strip() == f"{gun}: releases takes 2 signatures"
    assert_done(carol("verify", f"{gun}:v1"))
    shown = json.loads(assert_done(alice("threshold", "show", gun, "--format", "json")).out)
    assert [(row["role"], row["threshold"]) for row in shown] == [("root", 1), ("targets", 1), ("releases", 2)]
    alice.push(f"{gun}:v2", "two")
    assert_done(alice("propose", f"{gun}:v2"))
    refused(carol("verify", f"{gun}:v2"), 3, "unsigned")
    assert_done(alice("approve", gun, the_proposal(alice, gun), "--yes"))
    assert_done(carol("verify", f"{gun}:v2"))


def test_withdrawing_takes_as_many_signatures(alice: Person, bob: Person, carol: Person, gun: str) -> None:
    asked = refused(alice("threshold", "set", gun, "--role", "releases", "2", "--withdraw"), 2, "usage")
    assert "latest: sha256:" in asked.err
    assert proposals(alice, gun) == []
    told = assert_done(alice("threshold", "set", gun, "--role", "releases", "2", "--withdraw", "--yes"))
    assert "Even a file without tags takes these signatures" in told.err
    assert_done(carol("verify", f"{gun}:latest"))
    shown = assert_done(bob("approve", gun, the_proposal(bob, gun), "--yes"))
    assert "signed by releases, is withdrawn" in shown.err
    refused(carol("verify", f"{gun}:latest"), 3, "unsigned")


def test_proposals_are_objects(alice: Person, bob: Person, gun: str) -> None:
    assert_done(alice("threshold", "set", gun, "--role", "releases", "2"))
    (listed,) = proposals(bob, gun)
    identifier = str(listed["id"])
    (bobs,) = listed["lacks"][0]["keys"]  # type: ignore[index]  # JSON
    assert bobs == {"id": bobs["id"]}
    shown = json.loads(assert_done(bob("proposal", "show", gun, identifier, "--format", "json")).out)
    assert shown["lacks"][0]["keys"] == [{**bobs, "name": "bob"}]
    dropped = json.loads(assert_done(bob("proposal", "drop", gun, identifier, "--format", "json")).out)
    assert dropped == listed
    assert {key: dropped[key] for key in ("id", "role", "missing", "stale")} == {
        "id": identifier,
        "role": "releases",
        "missing": 1,
        "stale": False,
    }
    refused(bob("proposal", "drop", gun, identifier, "--format", "json"), 1, "not-found")


def test_a_lower_threshold_is_set_at_once(alice: Person, bob: Person, carol: Person, gun: str) -> None:
    """What meets the higher one meets the lower, and who may change targets alone may lower it alone."""
    raise_to_two(alice, bob, gun)
    lowered = assert_done(alice("threshold", "set", gun, "--role", "releases", "1"))
    assert "releases takes 1 signature instead of 2" in lowered.err
    raised = assert_done(alice("threshold", "set", gun, "--role", "releases", "2"))
    assert raised.out.strip() == f"{gun}: releases takes 2 signatures"
    assert_done(carol("verify", f"{gun}:latest"))


def test_only_publishers_see_proposals(alice: Person, bob: Person, carol: Person, gun: str) -> None:
    assert_done(alice("threshold", "set", gun, "--role", "releases", "2"))
    for arguments in (("proposal", "list", gun), ("proposal", "drop", gun, the_proposal(alice, gun))):
        refused(carol(*arguments), 5, "role-missing")
