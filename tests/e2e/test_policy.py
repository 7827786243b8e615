"""A consumer that demands named signers, on the running service."""

from __future__ import annotations

import json
from collections.abc import Iterator
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


def policy_file(person: Person, text: str) -> Path:
    """The policy of a person's home."""
    home = Path(person.environment()["TRUSTKIT_HOME"])
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = home / "policy.toml"
    file.write_text(f"version = 1\n{text}")
    return file


def demand(person: Person, gun: str, *signers: str, count: int | None = None) -> Path:
    """A policy that takes of one collection what so many of these signers have signed."""
    needed = "" if count is None else f"signers_needed = {count}\n"
    return policy_file(person, f'[[rule]]\npattern = "{gun}"\nsigners = {json.dumps(signers)}\n{needed}')


@pytest.fixture(autouse=True)
def without_policy(carol: Person) -> Iterator[None]:
    yield
    Path(carol.environment()["TRUSTKIT_HOME"], "policy.toml").unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("signers", "count", "trusted"),
    [
        (["dora"], None, {"doras"}),
        (["ci"], None, {"v1", "v2"}),
        (["dora", "ci"], 1, {"doras", "v1", "v2"}),
        (["dora", "ci"], None, set()),
        (["nobody"], None, set()),
    ],
)
def test_only_what_the_demanded_signers_signed(
    carol: Person, gun: str, signers: list[str], count: int | None, trusted: set[str]
) -> None:
    demand(carol, gun, *signers, count=count)
    found = {tag for tag in ("own", "doras", "v1", "v2") if carol("verify", f"{gun}:{tag}").status == 0}
    assert found == trusted
    refused = carol("verify", f"{gun}:own")
    assert (refused.status, refused.slug) == (3, "signers-missing")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[rule]\n", "line 2, column 7"),
        ('[[rule]]\npatern = "x"\n', "line 3, column 1"),
        ('[[rule]]\npattern = "*"\nsigners = ["a", "a"]\n', "line 4, column 1"),
        ('[[rule]]\npattern = "*"\nsigners = ["a"]\nsigners_needed = 2\n', "line 4, column 1"),
    ],
)
def test_a_policy_with_a_typo_trusts_nothing_and_says_where(carol: Person, gun: str, text: str, words: str) -> None:
    policy_file(carol, text)
    for command in ("verify", "pull"):
        refused = carol(command, f"{gun}:doras")
        assert (refused.status, refused.slug) == (2, "invalid-setting")
        assert words in refused.err


def test_a_policy_that_is_named_and_not_there_trusts_nothing(carol: Person, gun: str, tmp_path: Path) -> None:
    assert carol("verify", f"{gun}:doras", "--policy", str(tmp_path / "none.toml")).slug == "invalid-setting"
    assert (
        carol("verify", f"{gun}:doras", environ={"TRUSTKIT_POLICY": str(tmp_path / "none.toml")}).slug
        == "invalid-setting"
    )


def test_demands_that_an_older_version_wrote_are_not_passed_over(carol: Person, gun: str) -> None:
    older = Path(carol.environment()["TRUSTKIT_HOME"], "policy.json")
    older.write_text('{"version":1,"policies":[]}')
    try:
        assert carol("verify", f"{gun}:doras").slug == "invalid-setting"
    finally:
        older.unlink()


def test_an_empty_policy_denies_and_the_most_specific_rule_counts_alone(carol: Person, gun: str) -> None:
    policy_file(carol, "")
    refused = carol("verify", f"{gun}:doras")
    assert (refused.status, refused.slug) == (3, "policy-denies")
    host = gun.partition("/")[0]
    policy_file(
        carol,
        f'[[rule]]\npattern = "*"\nmode = "unsafe_allow_unsigned"\n[[rule]]\npattern = "{host}/*"\n'
        f'[[rule]]\npattern = "{host}/policy/*"\nmode = "digest-only"\n',
    )
    assert carol("verify", f"{gun}:doras").slug == "policy-denies"
    digest = "sha256:" + "a" * 64
    anything = assert_done(carol("verify", f"{gun}@{digest}"))
    assert (anything.out.strip(), "nobody was asked" in anything.err) == (f"{gun}@{digest}", True)
    assert carol("verify", f"{host}/other/app:v1").status != 0


def test_the_pin_of_a_rule_counts_before_the_home_s(carol: Person, alice: Person, gun: str) -> None:
    policy_file(carol, f'[[rule]]\npattern = "{gun}"\nroot_keys = ["{"0" * 64}"]\n')
    assert carol("verify", f"{gun}:doras").slug == "wrong-root"
    policy_file(carol, f'[[rule]]\npattern = "{gun}"\nroot_keys = ["{alice.root_key()}"]\n')
    assert_done(carol("verify", f"{gun}:doras"))


def test_a_mirror_s_images_are_judged_by_the_home_s_name(carol: Person, gun: str) -> None:
    host = gun.partition("/")[0]
    policy_file(
        carol, f'[[rule]]\npattern = "{host}/*"\n[[mirror]]\nlocation = "mirror.example/hub"\nhome = "{host}"\n'
    )
    done = assert_done(carol("verify", "mirror.example/hub/policy/app:doras"))
    signed = assert_done(carol("verify", f"{gun}:doras")).out.strip()
    assert done.out.strip() == signed.replace(host, "mirror.example/hub")
    assert carol("verify", "mirror.example/hub/policy/app:nothing").slug == "unsigned"
    assert carol("verify", "mirror.example/hubby/app:doras").slug == "policy-denies"


def test_check_says_the_rule_and_the_verdict_and_detection_lets_nothing_be_trusted(carol: Person, gun: str) -> None:
    file = policy_file(carol, f'[[rule]]\npattern = "{gun}"\nsigners = ["dora"]\ndetect = true\n')
    checked = assert_done(carol("policy", "check", str(file), f"{gun}:doras", f"{gun}:own"))
    allowed, detected = checked.out.splitlines()
    assert f"{gun}:doras is allowed by the rule {gun}" in allowed
    assert f"{gun}:own would be refused by the rule {gun}" in detected
    assert "[signers-missing]" in detected
    assert carol("verify", f"{gun}:own").slug == "signers-missing"
    refused = carol("policy", "check", str(file), "alpine")
    assert (refused.status, "docker.io/library/alpine:latest is refused" in refused.err) == (3, True)
    assert (
        assert_done(carol("policy", "check", str(file), f"{gun}:v1", "--no-network")).out.strip()
        == f"{gun}:v1: {gun}"
    )
    rows = json.loads(assert_done(carol("policy", "show", "--format", "json")).out)
    assert [(row["pattern"], row["signers"], row["detect"]) for row in rows] == [(gun, ["dora"], True)]


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
    demand(carol, gun, "dora")
    assert carol("verify", f"{gun}@{digest}").slug == "signers-missing"
    assert_done(dora("sign", f"{gun}:copy"))
    assert assert_done(carol("verify", f"{gun}@{digest}")).out.strip() == f"{gun}:copy@{digest}"
    assert carol("verify", f"{gun}:a-copy").slug == "signers-missing"


def test_nobody_but_who_names_signers_puts_a_key_under_a_demanded_name(
    alice: Person, carol: Person, dora: Person, gun: str, service: RunningService, tmp_path: Path
) -> None:
    """A name is given by the holders of the repository keys: others can't, and they could give it to anybody."""
    demand(carol, gun, "dora")
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
