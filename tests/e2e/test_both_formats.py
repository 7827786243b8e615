"""Commands that take collections of both formats: each in its own, and one's failure keeps no other from its turn."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.test_signers import assert_done
from tests.service import Person, RunningService
from trustkit.cli.demo_images import write_image


def found(alice: Person, gun: str, form: str) -> str:
    alice.push(f"{gun}:v1")
    made = assert_done(alice("init", gun, "--format", form, *root_key(alice, form)))
    assert_done(alice("sign", f"{gun}:v1"))
    return made.out.strip()


def root_key(alice: Person, form: str) -> tuple[str, ...]:
    """The root key here that a format can have, if one is there."""
    listed = json.loads(assert_done(alice("key", "list", "--format", "json")).out)
    algorithm = "ed25519" if form == "tuf" else "ecdsa-p256"
    roots = [key["id"] for key in listed if key["role"] == "root" and key["algorithm"] == algorithm]
    return ("--root-key", roots[0]) if form == "tuf" and roots else ()


@pytest.mark.parametrize("role", ["repository", "root", "online"])
def test_keys_of_collections_of_both_formats_are_rotated_at_once(
    service: RunningService, carol: Person, role: str
) -> None:
    alice = service.principal(f"alice-{role}", "AcrPush", "AcrImageSigner")
    guns = {form: f"{service.host}/both/{role}-{form}" for form in ("tuf", "docker")}
    for form, gun in guns.items():
        made = found(alice, gun, form)
        assert_done(carol("pin", "add", gun, "--format", form, "--root-key", made))
        assert_done(carol("verify", f"{gun}:v1"))
    missing = f"{service.host}/both/{role}-none"
    done = alice("key", "rotate", *guns.values(), missing, "--role", role, "--yes")
    assert done.status != 0
    assert missing in done.err
    assert {line.partition(": ")[0] for line in done.out.splitlines()} == set(guns.values())
    for gun in guns.values():
        assert_done(carol("verify", f"{gun}:v1"))
        assert_done(alice("sign", f"{gun}:v1"))
    named = alice("key", "rotate", *guns.values(), "--role", "repository", "--key", "0" * 8, "--yes")
    assert (named.status, named.slug) == (2, "usage")


@pytest.mark.parametrize("by", ["key", "file"])
def test_a_pin_of_ones_own_follows_the_root_key_in_format_docker(
    service: RunningService, tmp_path: Path, by: str
) -> None:
    alice = service.principal(f"alice-{by}", "AcrPush", "AcrImageSigner")
    gun = f"{service.host}/both/follows-{by}"
    found(alice, gun, "docker")
    if by == "file":
        (root,) = (alice.home / "trustkit" / "cache").rglob("docker-*/root.json")
        (tmp_path / "root.json").write_bytes(root.read_bytes())
        assert_done(alice("pin", "remove", gun))
        assert_done(alice("pin", "add", gun, "--format", "docker", "--root", str(tmp_path / "root.json")))
    done = assert_done(alice("key", "rotate", gun, "--role", "root", "--yes"))
    assert "This home's pin" in done.err
    (pin,) = json.loads(assert_done(alice("pin", "list", "--format", "json")).out)
    assert pin["format"] == "docker"
    assert_done(alice("verify", f"{gun}:v1"))
    assert_done(alice("sign", f"{gun}:v1"))


def test_an_image_is_pushed_and_signed_by_the_keys_of_dockers_folder(
    service: RunningService, alice: Person, carol: Person, tmp_path: Path
) -> None:
    gun, folder = f"{service.host}/both/push", tmp_path / "trust"
    folder.mkdir()
    docker = ("--trust-dir", str(folder))
    made = assert_done(alice("init", gun, "--format", "docker", *docker)).out.strip()
    digest = write_image(tmp_path / "image", "t", "pushed")
    done = assert_done(alice("push", "--sign", f"oci:{tmp_path}/image:t", f"{gun}:v1", *docker))
    assert done.out.strip() == f"{gun}:v1@{digest}"
    assert len(list((folder / "private").iterdir())) == 2, "its root and repository key"
    assert_done(carol("pin", "add", gun, "--format", "docker", "--root-key", made))
    assert assert_done(carol("verify", f"{gun}:v1")).out.strip() == f"{gun}:v1@{digest}"
    lacks = alice("push", "--sign", f"oci:{tmp_path}/image:t", f"{gun}:v2")
    assert (lacks.status, lacks.slug) == (6, "key-missing")
    alone = alice("push", f"oci:{tmp_path}/image:t", f"{gun}:v2", *docker)
    assert (alone.status, alone.slug) == (2, "usage")
