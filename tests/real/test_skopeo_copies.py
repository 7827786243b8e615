"""skopeo copies both ways through the gateway, drives `trustkit pull`, and reads the layouts that we write."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.real.parts import Skopeo, Stand
from trustkit.cli.demo_images import write_image

pytestmark = pytest.mark.real


@pytest.fixture(scope="module", params=["embedded", "upstream"])
def place(request: pytest.FixtureRequest) -> Stand:
    stand: Stand = request.getfixturevalue(request.param)
    return stand


@pytest.fixture(scope="module")
def signed(place: Stand) -> tuple[str, str, str]:
    """A repository that carol has pinned, with a signed index; its name, the digest, and one that is not signed."""
    gun = f"{place.host}/copies/app"
    other = place.alice.push(f"{gun}:latest", "not signed", architectures=("amd64", "arm64"))
    digest = place.alice.push(f"{gun}:latest", "signed", architectures=("amd64", "arm64"))
    assert place.alice("sign", f"{gun}:latest").status == 0
    place.pinned(place.carol, gun)
    place.alice.push(f"{gun}:dev", "never signed")
    return gun, digest, other


@pytest.mark.parametrize("architectures", [(), ("amd64", "arm64", "riscv64")], ids=["image", "index"])
def test_what_skopeo_copies_in_it_copies_out_again(
    place: Stand, skopeo_tool: Skopeo, tmp_path: Path, architectures: tuple[str, ...]
) -> None:
    name = f"{place.host}/copies/round-{len(architectures)}"
    digest = write_image(tmp_path / "in", "t", "there and back", architectures=architectures)
    pushed = skopeo_tool.push(place.bob, tmp_path / "in", f"{name}:v1")
    assert pushed.status == 0, pushed.err
    copied = skopeo_tool(
        place.carol, "copy", "--all", "--preserve-digests", f"docker://{name}:v1", f"oci:{tmp_path / 'out'}:t"
    )
    assert copied.status == 0, copied.err

    def blobs(folder: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (folder / "blobs" / "sha256").iterdir()}

    assert digest[7:] in blobs(tmp_path / "out")
    assert blobs(tmp_path / "out") == blobs(tmp_path / "in")


def test_a_copy_from_one_repository_to_another_keeps_the_digest(place: Stand, skopeo_tool: Skopeo) -> None:
    source, target = f"{place.host}/copies/source:v1", f"{place.host}/copies/target:v2"
    digest = place.alice.push(source, "from here to there")
    copied = skopeo_tool(place.bob, "copy", f"docker://{source}", f"docker://{target}")
    assert copied.status == 0, copied.err
    assert skopeo_tool.digest(place.carol, f"docker://{target}") == digest


def test_a_puller_copies_nothing_in(place: Stand, skopeo_tool: Skopeo, tmp_path: Path) -> None:
    write_image(tmp_path, "t", "by a puller")
    refused = skopeo_tool.push(place.carol, tmp_path, f"{place.host}/copies/denied:v1")
    assert refused.status != 0
    assert "denied" in refused.err
    missing = skopeo_tool(place.bob, "inspect", f"docker://{place.host}/copies/denied:v1")
    assert "unknown" in missing.err


@pytest.mark.parametrize("transport", ["dir", "oci", "docker"])
def test_pull_through_skopeo_copies_the_signed_digest(
    place: Stand, skopeo_tool: Skopeo, signed: tuple[str, str, str], tmp_path: Path, transport: str
) -> None:
    gun, digest, _ = signed
    destination = {
        "dir": f"dir:{tmp_path / 'out'}",
        "oci": f"oci:{tmp_path / 'out'}:latest",
        "docker": f"docker://{place.host}/copies/mirror:latest",
    }[transport]
    who = place.alice if transport == "docker" else place.carol
    pulled = who("pull", f"{gun}:latest", "--to", f"skopeo:{destination}")
    assert (pulled.status, pulled.out.strip()) == (0, f"{gun}:latest@{digest}"), pulled.err
    assert skopeo_tool.digest(who, destination) == digest


def test_pull_through_skopeo_copies_nothing_that_is_not_signed(
    place: Stand, signed: tuple[str, str, str], tmp_path: Path
) -> None:
    gun, _, other = signed
    for reference, slug in ((f"{gun}:dev", "unsigned"), (f"{gun}@{other}", "unsigned")):
        refused = place.carol("pull", reference, "--to", f"skopeo:dir:{tmp_path / 'out'}")
        assert (refused.status, refused.slug, refused.out) == (3, slug, ""), refused.err
    assert not (tmp_path / "out").exists()


def test_skopeo_reads_the_layout_that_pull_writes(
    place: Stand, skopeo_tool: Skopeo, signed: tuple[str, str, str], tmp_path: Path
) -> None:
    gun, digest, _ = signed
    pulled = place.carol("pull", f"{gun}:latest", "--to", f"oci:{tmp_path / 'out'}")
    assert pulled.status == 0, pulled.err
    assert skopeo_tool.digest({}, f"oci:{tmp_path / 'out'}:latest") == digest
    copied = skopeo_tool({}, "copy", "--all", f"oci:{tmp_path / 'out'}:latest", f"dir:{tmp_path / 'copy'}")
    assert copied.status == 0, copied.err
    assert skopeo_tool.digest({}, f"dir:{tmp_path / 'copy'}") == digest


def test_skopeo_reads_the_folder_of_the_embedded_registry(embedded: Stand, skopeo_tool: Skopeo) -> None:
    digest = embedded.alice.push(f"{embedded.host}/copies/stored:v1", "on disk")
    stored = embedded.service.data / "registry" / "copies" / "stored" / "_oci"
    assert skopeo_tool.digest({}, f"oci:{stored}:v1") == digest
