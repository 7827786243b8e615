"""Root and repository key on a token (SoftHSM), as a publisher types it, and what they are told on bad days."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from tests.service import Person, RunningService
from tests.softhsm import PIN, SoftHsm

pytestmark = pytest.mark.real

TOKEN = "pkcs11:token=ceremony"


@pytest.fixture
def holder(service: RunningService, softhsm: SoftHsm, request: pytest.FixtureRequest) -> Person:
    """Somebody who may publish, with a token and its PIN, and no passphrase for keys in files."""
    person = service.principal(f"holder-{abs(hash(request.node.name))}", "AcrPush", "AcrImageSigner")
    person.environ = {
        **softhsm.environ,
        "TRUSTKIT_HSM_PIN": PIN,
        "TRUSTKIT_ROOT_PASSPHRASE": "",
        "TRUSTKIT_REPOSITORY_PASSPHRASE": "",
    }
    return person


def generate(person: Person, *arguments: str) -> str:
    made = person("key", "generate", *arguments)
    assert made.status == 0, made.err
    return made.out.strip()


def both(person: Person, gun: str) -> tuple[str, str]:
    """A root and a repository key on the token."""
    root = generate(person, "--hsm", TOKEN, "--role", "root")
    hsm = ("--hsm", TOKEN, "--algorithm", "ecdsa-p384")
    return root, generate(person, *hsm, "--role", "repository", "--gun", gun)


def test_a_collection_whose_keys_never_were_in_a_file(
    service: RunningService, softhsm: SoftHsm, holder: Person, carol: Person
) -> None:
    softhsm.insert("ceremony")
    gun = f"{service.host}/hsm/app"
    root, repository = both(holder, gun)
    digest = holder.push(f"{gun}:v1")
    holder.push(f"{gun}:v2")
    signed = holder("sign", f"{gun}:v1")
    assert (signed.status, signed.out.strip()) == (0, f"{gun}:v1@{digest}"), signed.err
    assert "Making" not in signed.err, "the keys on the token are the ones that founded it"
    assert carol("pin", "add", gun, "--root-key", root).status == 0
    assert carol("verify", f"{gun}:v1").out.strip() == f"{gun}:v1@{digest}"
    assert holder("sign", f"{gun}:v2").status == 0
    listed = json.loads(holder("key", "list", "--format", "json").out)
    assert {key["id"]: key["algorithm"] for key in listed} == {root: "ecdsa-p256", repository: "ecdsa-p384"}
    assert all(key["uri"].startswith("pkcs11:token=ceremony;object=trustkit%20") for key in listed)
    assert not list((holder.home / "trustkit" / "keys").glob("*.pem"))


def test_bad_days_each_with_a_sentence_and_nothing_published(
    service: RunningService, softhsm: SoftHsm, holder: Person
) -> None:
    token = softhsm.insert("ceremony")
    gun = f"{service.host}/hsm/bad"
    both(holder, gun)
    holder.push(f"{gun}:v1")
    wrong = holder("sign", f"{gun}:v1", environ={"TRUSTKIT_HSM_PIN": "not the pin"})
    assert (wrong.status, wrong.slug) == (6, "wrong-passphrase")
    assert "'ceremony'" in wrong.err
    assert "isn't tried again" in wrong.err
    assert "not the pin" not in wrong.err
    nobody = holder("sign", f"{gun}:v1", environ={"TRUSTKIT_HSM_PIN": ""})
    assert (nobody.status, nobody.slug) == (6, "no-passphrase")
    assert "TRUSTKIT_HSM_PIN is set, and empty" in nobody.err
    module = holder("sign", f"{gun}:v1", environ={"TRUSTKIT_PKCS11_MODULE": "/nonexistent.so"})
    assert (module.status, module.slug) == (2, "invalid-setting")
    softhsm.pull_out(token)
    gone = holder("sign", f"{gun}:v1")
    assert (gone.status, gone.slug) == (6, "key-unavailable")
    assert "The token 'ceremony' isn't here" in gone.err
    softhsm.insert("ceremony")
    swapped = holder("sign", f"{gun}:v1")
    assert (swapped.status, swapped.slug) == (6, "key-missing")
    assert "trustkit root" in swapped.err
    assert holder("inspect", gun).slug in ("no-pin", "no-collection"), "nothing was founded"


def test_a_key_on_a_token_is_taken_in_listed_exported_and_removed(softhsm: SoftHsm, tmp_path: Path) -> None:
    softhsm.insert("ceremony")
    alone = Person("alone", tmp_path / "home", {**softhsm.environ, "TRUSTKIT_HSM_PIN": PIN})
    signer = ("--role", "signer", "--name", "ci")
    public = tmp_path / "ci.pub"
    made = generate(alone, "--hsm", f"{TOKEN};object=ci", *signer, "--public-out", str(public))
    pem = public.read_text()
    assert pem.startswith("-----BEGIN PUBLIC KEY-----")
    assert stat.S_IMODE(public.stat().st_mode) == 0o644
    assert alone("key", "export", "--public", made).out == pem
    for refused in (alone("key", "export", made), alone("key", "passwd", made)):
        assert (refused.status, refused.slug) == (2, "usage")
        assert "stays there" in refused.err
    again = alone("key", "add", f"{TOKEN};object=ci", *signer)
    assert (again.status, again.slug) == (6, "key-exists")
    removed = alone("key", "remove", "--yes", made)
    assert removed.status == 0
    assert "stays where it is, at pkcs11:token=ceremony;object=ci" in removed.err
    taken = alone("key", "add", f"{TOKEN};object=ci", *signer)
    assert taken.out.strip() == made
    assert made in alone("key", "list").out
    assert alone("key", "list").out.splitlines()[-1].endswith(f" {TOKEN};object=ci")


def test_what_a_key_is_for_follows_from_what_is_said_of_it(
    service: RunningService, softhsm: SoftHsm, holder: Person
) -> None:
    softhsm.insert("ceremony")
    gun = f"{service.host}/hsm/short"
    made = {generate(holder, "--hsm", TOKEN): "root"}
    made[generate(holder, "--hsm", f"{TOKEN};object=app", "--gun", gun)] = "repository"
    made[generate(holder, "--hsm", f"{TOKEN};object=ci", "--gun", gun, "--name", "ci")] = "signer"
    listed = json.loads(holder("key", "list", "--format", "json").out)
    assert {key["id"]: key["role"] for key in listed} == made
    holder.push(f"{gun}:v1")
    signed = holder("sign", f"{gun}:v1")
    assert signed.status == 0, signed.err
    assert "Making" not in signed.err
    told = holder("status", gun)
    assert told.status == 0
    assert f"here, at {TOKEN};object=app" in told.out
    assert "backup" not in told.out + told.err, "nobody can back up what never leaves its token"
    assert "backup" not in holder("doctor").out


@pytest.mark.parametrize("command", [("generate", "--hsm"), ("add",)])
def test_a_pin_in_a_uri_is_refused_and_not_repeated(tmp_path: Path, command: tuple[str, ...]) -> None:
    alone = Person("alone", tmp_path / "home")
    refused = alone("key", *command, f"{TOKEN}?pin-value=hunter2", "--role", "root")
    assert (refused.status, refused.slug, refused.out) == (2, "usage", "")
    assert "hunter2" not in refused.err
    assert not list(tmp_path.rglob("*.uri"))


def test_the_public_half_of_a_key_in_a_file_is_written_for_others_and_never_over_a_file(tmp_path: Path) -> None:
    alone = Person("alone", tmp_path / "home")
    alone.environ = {"TRUSTKIT_SIGNER_PASSPHRASE": "a passphrase of tests"}
    ask = ("--role", "signer", "--name", "ci", "--public-out", str(tmp_path / "ci.pub"))
    made = generate(alone, *ask)
    pem = (tmp_path / "ci.pub").read_text()
    assert alone("key", "export", "--public", made).out == pem
    second = alone("key", "generate", *ask)
    assert (second.status, second.slug) == (6, "key-exists")
    assert (tmp_path / "ci.pub").read_text() == pem
    assert len(json.loads(alone("key", "list", "--format", "json").out)) == 1, "and no key was made for it"
