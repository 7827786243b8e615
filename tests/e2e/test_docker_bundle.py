"""Bundles and mirrors of collections in format docker on a real service: made with a network, verified without."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.test_air_gap import Cut, create, cut
from tests.e2e.test_signers import assert_done
from tests.service import Person, RunningService

__all__ = ["cut"]


@pytest.fixture(scope="module")
def root(service: RunningService, alice: Person, carol: Person) -> str:
    """Of a repository with an image and an index of two platforms, both signed; carol has pinned it."""
    gun = f"{service.host}/air/docker"
    alice.push(f"{gun}:v1")
    alice.push(f"{gun}:multi", architectures=("amd64", "arm64"))
    made = assert_done(alice("init", gun, "--format", "docker")).out.strip()
    assert_done(alice("sign", f"{gun}:v1", f"{gun}:multi"))
    assert_done(carol("pin", "add", gun, "--format", "docker", "--root-key", made))
    return made


@pytest.fixture
def dora(tmp_path: Path, service: RunningService, root: str) -> Person:
    """A machine with a pin, and no login."""
    made = Person("dora", tmp_path / "dora")
    assert_done(made("pin", "add", f"{service.host}/air/docker", "--format", "docker", "--root-key", root))
    return made


@pytest.mark.real
def test_a_bundle_of_dockers_format_is_verified_and_pulled_with_the_network_cut(
    service: RunningService, alice: Person, carol: Person, dora: Person, cut: Cut, tmp_path: Path
) -> None:
    gun = f"{service.host}/air/docker"
    file = create(carol, tmp_path / "app.tkb", f"{gun}:v1", f"{gun}:multi", "--images")
    assert (
        create(carol, tmp_path / "2.tkb", f"{gun}:multi", f"{gun}:v1", "--images").read_bytes() == file.read_bytes()
    )
    offline = ("--bundle", str(file), "--max-age", "14d")
    signed = assert_done(carol("verify", f"{gun}:v1", f"{gun}:multi"))
    assert cut(dora, "verify", f"{gun}:v1").status == 4
    assert cut(dora, "verify", *offline, f"{gun}:v1", f"{gun}:multi").out == signed.out
    layout = tmp_path / "layout"
    pulled = cut(dora, "pull", *offline, f"{gun}:multi", "--to", f"oci:{layout}")
    assert (pulled.status, pulled.out) == (0, signed.out.splitlines(keepends=True)[1]), pulled.err
    assert len(list((layout / "blobs" / "sha256").iterdir())) == 7
    young = dora("verify", "--bundle", str(file), "--max-age", "1d", f"{gun}:v1")
    assert (young.status, young.slug) == (3, "too-old")
    rotated = assert_done(alice("key", "rotate", gun, "--role", "root", "--yes"))
    assert "New consumers" in rotated.err
    newer = create(carol, tmp_path / "newer.tkb", f"{gun}:v1")
    of_newer = ("--bundle", str(newer), "--max-age", "14d", f"{gun}:v1")
    assert_done(dora("verify", *of_newer))
    older = dora("verify", *offline, f"{gun}:v1")
    assert (older.status, older.slug) == (3, "rolled-back")
    cold = Person("erin", tmp_path / "erin")
    assert_done(
        cold("pin", "add", gun, "--format", "docker", "--root-key", rotated.err.split("--root-key ")[1].split()[0])
    )
    assert_done(cold("verify", *of_newer))


@pytest.mark.real
def test_a_bundle_of_what_was_converted_is_followed_with_the_network_cut(
    service: RunningService, carol: Person, cut: Cut, tmp_path: Path
) -> None:
    """By the id of the root certificate, on a machine that has never seen the collection."""
    gun, fern = f"{service.host}/air/converted", service.principal("fern", "AcrPush", "AcrImageSigner")
    fern.push(f"{gun}:v1")
    root = assert_done(fern("init", gun, "--format", "docker")).out.strip()
    assert_done(fern("sign", f"{gun}:v1"))
    assert_done(fern("convert", gun, "--to", "tuf"))
    assert_done(fern("convert", gun, "--end-docker"))
    for name in ("carol", "erin"):
        who = carol if name == "carol" else Person(name, tmp_path / name)
        assert_done(who("pin", "add", gun, "--format", "docker", "--root-key", root))
    file = create(carol, tmp_path / "app.tkb", f"{gun}:v1")
    offline = ("verify", "--bundle", str(file), "--max-age", "1d", f"{gun}:v1")
    told = cut(who, *offline)
    assert (told.status, told.out) == (0, assert_done(carol("verify", f"{gun}:v1")).out), told.err
    assert f"{gun} was converted to format tuf by the pinned root key" in told.err
    assert cut(who, *offline).err == ""
    listed = assert_done(who("pin", "list")).out.splitlines()
    assert [line.split()[1] for line in listed if line.startswith(gun)] == ["tuf"]


def test_images_are_mirrored_and_trust_data_that_nobody_reads_from_files_is_not(
    service: RunningService, alice: Person, carol: Person, root: str, tmp_path: Path
) -> None:
    gun = f"{service.host}/air/docker"
    refused = carol("mirror", f"{gun}:v1", f"dir:{tmp_path}/mirror")
    assert (refused.status, refused.slug) == (1, "wrong-format")
    assert "trustkit bundle create" in refused.err
    assert not list(tmp_path.rglob("*.json"))
    taken = assert_done(alice("mirror", f"{gun}:v1", f"{service.host}/air/copy"))
    assert taken.out == assert_done(carol("verify", f"{gun}:v1")).out
