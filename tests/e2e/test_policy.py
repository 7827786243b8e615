"""A consumer that demands named signers, on the running service."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.test_signers import assert_done, pin, signer_key
from tests.service import PASSPHRASE, Person, RunningService


@pytest.fixture(scope="module")
def dora(service: RunningService) -> Person:
    return signer_person(service, "dora")


@pytest.fixture(scope="module")
def gun(
    service: RunningService, alice: Person, dora: Person, carol: Person, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """``both`` is signed by dora and then ci's tag by ci; ``own`` by the repository key alone."""
    folder = tmp_path_factory.mktemp("keys")
    named = f"{service.host}/policy/app"
    for tag in ("own", "doras", "v1", "v2"):
        alice.push(f"{named}:{tag}", tag)
    assert_done(alice("sign", f"{named}:own", f"{named}:v2"))
    ci = signer_person(service, "ci")
    assert_done(alice("signer", "add", "dora", "--key", str(signer_key(dora, "dora", folder)), named))
    assert_done(alice("signer", "add", "ci", "--key", str(signer_key(ci, "ci", folder)), "--paths", "v*", named))
    for person, tag in ((dora, "doras"), (ci, "v1")):
        pin(person, alice, named)
        assert_done(person("sign", f"{named}:{tag}"))
    assert_done(alice("sign", f"{named}:own"))
    pin(carol, alice, named)
    return named


def signer_person(service: RunningService, name: str) -> Person:
    person = service.principal(name, "AcrPush", "AcrImageSigner")
    person.environ["TRUSTKIT_SIGNER_PASSPHRASE"] = PASSPHRASE
    return person


@pytest.mark.parametrize(
    ("signers", "count", "trusted"),
    [
        (["dora"], None, {"doras"}),
        (["ci"], None, {"v1", "v2"}),
        (["dora", "ci"], "1", {"doras", "v1", "v2"}),
        (["dora", "ci"], None, set()),
        (["nobody"], None, set()),
    ],
)
def test_only_what_the_demanded_signers_signed(
    carol: Person, gun: str, signers: list[str], count: str | None, trusted: set[str]
) -> None:
    arguments = [word for name in signers for word in ("--signer", name)]
    arguments += ["--count", count] if count else []
    assert_done(carol("policy", "add", gun, *arguments, "--replace"))
    found = {tag for tag in ("own", "doras", "v1", "v2") if carol("verify", f"{gun}:{tag}").status == 0}
    assert found == trusted
    refused = carol("verify", f"{gun}:own")
    assert (refused.status, refused.slug) == (3, "signers-missing")


@pytest.mark.parametrize(
    "text", ["", "[]", '{"version":2,"policies":[]}', '{"version":1,"policies":[{}]}', '{"version":1,"policies":[1]}']
)
def test_a_damaged_policy_trusts_nothing(carol: Person, gun: str, text: str) -> None:
    file = Path(carol.environment()["TRUSTKIT_HOME"]) / "policy.json"
    kept = file.read_bytes()
    file.write_text(text)
    try:
        refused = carol("verify", f"{gun}:doras")
        assert (refused.status, refused.slug) == (1, "state")
    finally:
        file.write_bytes(kept)


@pytest.mark.parametrize(
    ("arguments", "slug"),
    [
        (("--signer", "a", "--signer", "a"), "invalid-setting"),
        (("--signer", "a", "--count", "2"), "invalid-setting"),
        (("--signer", "A b"), "invalid-name"),
        (("--signer", "other"), "conflict"),
    ],
)
def test_a_policy_that_can_not_be_met_or_is_another(
    carol: Person, gun: str, arguments: tuple[str, ...], slug: str
) -> None:
    assert_done(carol("policy", "add", gun, "--signer", "dora", "--replace"))
    assert carol("policy", "add", gun, *arguments).slug == slug


def test_inspect_names_who_signed_each_tag(carol: Person, gun: str) -> None:
    shown = json.loads(assert_done(carol("inspect", gun, "--format", "json")).out)[0]
    assert {tag["SignedTag"]: tag["Signers"] for tag in shown["SignedTags"]} == {
        "doras": ["dora"],
        "own": ["Repo Admin"],
        "v1": ["ci"],
        "v2": ["ci"],
    }
    assert [signer["Name"] for signer in shown["Signers"]] == ["ci", "dora"]


def test_a_digest_needs_one_tag_that_the_signers_signed(alice: Person, carol: Person, gun: str, dora: Person) -> None:
    """``a-copy`` is the first tag of this digest and alice's alone; dora signed the same image as ``copy``."""
    digest = alice.push(f"{gun}:copy", "copied")
    assert alice.push(f"{gun}:a-copy", "copied") == digest
    assert_done(alice("sign", f"{gun}:a-copy"))
    assert_done(carol("policy", "add", gun, "--signer", "dora", "--replace"))
    assert carol("verify", f"{gun}@{digest}").slug == "signers-missing"
    assert_done(dora("sign", f"{gun}:copy"))
    assert assert_done(carol("verify", f"{gun}@{digest}")).out.strip() == f"{gun}:copy@{digest}"
    assert carol("verify", f"{gun}:a-copy").slug == "signers-missing"


def test_nobody_but_who_names_signers_puts_a_key_under_a_demanded_name(
    alice: Person, carol: Person, dora: Person, gun: str, service: RunningService, tmp_path: Path
) -> None:
    """A name is given by the holders of the repository keys: others can't, and they could give it to anybody."""
    assert_done(carol("policy", "add", gun, "--signer", "dora", "--replace"))
    mallory = signer_person(service, "mallory")
    pin(mallory, alice, gun)
    public = str(signer_key(mallory, "dora", tmp_path))
    for person in (mallory, dora):
        refused = person("signer", "add", "dora", "--key", public, "--replace", "--yes", gun)
        assert (refused.status, refused.slug) == (6, "key-missing")
    digest = mallory.push(f"{gun}:hers", "hers")
    assert mallory("sign", f"{gun}:hers").slug == "key-missing"
    assert_done(carol("verify", f"{gun}:doras"))

    dry = assert_done(alice("signer", "add", "dora", "--key", public, "--replace", "--dry-run", gun))
    assert "doras: sha256:" in dry.out
    assert_done(alice("signer", "add", "dora", "--key", public, "--replace", "--yes", gun))
    assert carol("verify", f"{gun}:doras").slug == "unsigned"
    assert dora("sign", f"{gun}:doras").slug == "key-missing"
    assert assert_done(mallory("sign", f"{gun}:hers")).out.strip() == f"{gun}:hers@{digest}"
    assert_done(carol("verify", f"{gun}:hers"))
