"""The drill of docs/how-to/compromise-drill.md: a repository key and a login are stolen, and taken back."""

from __future__ import annotations

import os
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from tests.attacks.victims import MANIFEST, ask
from tests.service import Person, RunningService
from trustkit.cli.context import Context
from trustkit.core.draft import Draft
from trustkit.core.formats.tuf1 import sign
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.names import Digest, Gun, Tag
from trustkit.core.ports.images import ManifestBytes
from trustkit.core.ports.keys import KeyRole
from trustkit.core.targets import make_target
from trustkit.errors import BadSignature


def thief_of(alice: Person, folder: Path) -> Person:
    """Somebody with a copy of the home and the login, from which the root key was kept away."""
    thief = Person("thief", folder / "thief")
    shutil.copytree(alice.home, thief.home)
    (thief.home / "trustkit" / "keys" / f"{alice.root_key()}.pem").unlink()
    return thief


def forge(thief: Person, gun: Gun, tag: str) -> None:
    """What the thief's own client refuses: tags signed with the stolen key, uploaded after it was rotated out."""
    context = Context(home_flag=None, environ={**os.environ, **thief.environment()})
    store = context.key_store()
    stolen = next(info for info in store.list() if info.role is KeyRole.REPOSITORY and info.gun == gun)
    current = context.trust().current(gun, context.now())
    draft = Draft(gun, current.files, now=context.now(), lifetimes=Lifetimes())
    image = ManifestBytes(Digest.of(b"{}"), MANIFEST, b"{}")
    draft.put([make_target(Tag(tag), image, None, now=context.now(), keep=timedelta(0))])
    signed = sign(draft.edit("targets"), {stolen.id: store.unlock(stolen)})
    context.service.publish(gun, {"targets": signed})


def status_by_digest(service: RunningService, person: Person, gun: str, digest: str) -> int:
    """What a trust-only registry answers who pulls this digest."""
    path = gun.partition("/")[2]
    token = person.token(service.host, f"repository:{path}:pull")
    return ask(service.host, "GET", f"/v2/{path}/manifests/{digest}", token=token, accept=MANIFEST).status


@pytest.mark.parametrize("how", ["revoked in the rotation", "signed over"])
def test_the_stolen_key_signs_and_is_taken_back(
    service: RunningService, alice: Person, carol: Person, tmp_path: Path, how: str
) -> None:
    gun = f"{service.host}/drill/{how.replace(' ', '-')}"
    assert service.admin("repository", "set", "drill/*", "--trust-only").status == 0
    good = alice.push(f"{gun}:v1", "good")
    alice.push(f"{gun}:v2", "also good")
    assert alice("sign", f"{gun}:v1@{good}", f"{gun}:v2").status == 0
    assert carol("pin", "add", gun, "--root-key", alice.root_key()).status == 0
    assert carol("verify", f"{gun}:v1").out.strip() == f"{gun}:v1@{good}"

    thief = thief_of(alice, tmp_path)
    evil = thief.push(f"{gun}:v1", "evil")
    assert thief("sign", f"{gun}:v1@{evil}").status == 0
    assert carol("verify", f"{gun}:v1").out.strip() == f"{gun}:v1@{evil}", "that is what a theft is"
    assert thief("key", "rotate", gun, "--role", "repository").slug == "key-missing", "the thief can't lock us out"

    assert evil[7:] in alice("inspect", gun).out, "the owner sees another digest than the one that was signed"
    if how == "revoked in the rotation":
        rotated = alice("key", "rotate", gun, "--role", "repository", "--revoke", "v1", "--remove-old", "--yes")
        assert rotated.status == 0, rotated.err
        assert f"v1: {evil}, signed by targets, is withdrawn" in rotated.err
        gone = carol("verify", f"{gun}:v1")
        assert (gone.status, gone.slug) == (3, "unsigned"), "the new key has never signed it"
        assert alice("sign", f"{gun}:v1@{good}").status == 0
    else:
        assert alice("key", "rotate", gun, "--role", "repository", "--remove-old").status == 0
        assert alice("sign", f"{gun}:v1@{good}", "--forget-previous").status == 0

    assert carol("verify", f"{gun}:v1", f"{gun}:v2").out.split()[0] == f"{gun}:v1@{good}", (
        "a warm client has followed"
    )
    assert carol("verify", f"{gun}@{evil}").status == 3
    assert status_by_digest(service, carol, gun, good) == 200
    assert status_by_digest(service, carol, gun, evil) == 403, "also by digest, and at once"
    refused = thief("sign", f"{gun}:v1@{evil}")
    assert (refused.status, refused.slug) == (6, "key-missing")
    with pytest.raises(BadSignature):
        forge(thief, Gun.parse(gun), "v1")
    assert carol("verify", f"{gun}:v1").out.strip() == f"{gun}:v1@{good}"


def test_without_revoking_what_a_thief_signed_stays_pullable_for_a_while(
    service: RunningService, alice: Person, carol: Person, tmp_path: Path
) -> None:
    """Why the drill has --revoke or --forget-previous: a digest that was superseded may be pulled for 30 days."""
    gun = f"{service.host}/drill/careless"
    assert service.admin("repository", "set", "drill/*", "--trust-only").status == 0
    good = alice.push(f"{gun}:v1", "good")
    assert alice("sign", f"{gun}:v1@{good}").status == 0
    thief = thief_of(alice, tmp_path)
    evil = thief.push(f"{gun}:v1", "evil")
    assert thief("sign", f"{gun}:v1@{evil}").status == 0
    assert alice("key", "rotate", gun, "--role", "repository").status == 0
    assert alice("sign", f"{gun}:v1@{good}").status == 0
    assert status_by_digest(service, carol, gun, evil) == 200
    assert alice("sign", f"{gun}:v1@{good}", "--forget-previous").status == 0
    assert status_by_digest(service, carol, gun, evil) == 403
