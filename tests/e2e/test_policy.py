"""A consumer that demands named signers, on the running service."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.test_signers import assert_done, pin, signer_key
from tests.service import PASSPHRASE, Person, RunningService


@pytest.fixture(scope="module")
def gun(service: RunningService, alice: Person, carol: Person, tmp_path_factory: pytest.TempPathFactory) -> str:
    """``both`` is signed by dora and then ci's tag by ci; ``own`` by the repository key alone."""
    folder = tmp_path_factory.mktemp("keys")
    named = f"{service.host}/policy/app"
    for tag in ("own", "doras", "v1", "v2"):
        alice.push(f"{named}:{tag}", tag)
    assert_done(alice("sign", f"{named}:own", f"{named}:v2"))
    dora, ci = signer_person(service, "dora"), signer_person(service, "ci")
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
