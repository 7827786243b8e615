"""Engines are told digests, and an OCI layout is believed no more than a registry is."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from trustkit.client.push import push
from trustkit.core.manifests import OCI_INDEX, OCI_MANIFEST, Descriptor
from trustkit.core.names import Digest, Gun, ImageRef, Tag
from trustkit.core.ports.images import ManifestBytes
from trustkit.engines import engine
from trustkit.engines.command import run
from trustkit.engines.docker import DockerEngine
from trustkit.engines.layout import REF_NAME, Layout
from trustkit.engines.oci import LayoutImage, OciEngine
from trustkit.engines.podman import PodmanEngine
from trustkit.engines.skopeo import SkopeoEngine
from trustkit.errors import (
    DigestMismatch,
    EngineFailed,
    Garbage,
    InvalidReference,
    NotFound,
    StateError,
)

GUN = Gun.parse("localhost:5080/team/app")
LAYER, CONFIG = b"layer" * 1000, b"{}"


def test_tools_are_given_no_passphrase_and_no_pin() -> None:
    """A job that signs has them in its environment; what pulls and copies has no use for them."""
    secret = (
        *("TRUSTKIT_ROOT_PASSPHRASE", "TRUSTKIT_REPOSITORY_PASSPHRASE", "TRUSTKIT_SIGNER_PASSPHRASE"),
        *("TRUSTKIT_PASSPHRASE_0a1b2c3d", "TRUSTKIT_BACKUP_PASSPHRASE", "NOTARY_TARGETS_PASSPHRASE"),
        *("DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE", "TRUSTKIT_HSM_PIN"),
    )
    kept = {"DOCKER_HOST": "unix:///x", "TRUSTKIT_HOME": "/home/x", "PATH": os.environ["PATH"]}
    said = run(["env"], {**kept, **dict.fromkeys(secret, "s3cret")})
    assert dict(line.split("=", 1) for line in said.splitlines()) == kept


def test_a_layout_in_nobody_s_home() -> None:
    with pytest.raises(InvalidReference, match="nobody"):
        Layout.named("~nobody-has-this-name/x")


class MemoryRegistry:
    """An ImageRegistry in memory; ``tampered`` gives other bytes for a digest."""

    def __init__(self) -> None:
        self.manifests: dict[str, ManifestBytes] = {}
        self.blobs: dict[Digest, bytes] = {}
        self.order: list[str] = []

    def manifest(self, gun: Gun, reference: Tag | Digest, *, registry_view: bool = False) -> ManifestBytes:
        if str(reference) not in self.manifests:
            raise NotFound("no such manifest")
        return self.manifests[str(reference)]

    def put_manifest(self, gun: Gun, reference: Tag | Digest, manifest: ManifestBytes) -> None:
        self.order.append(str(reference))
        self.manifests[str(reference)] = manifest

    def has_blob(self, gun: Gun, digest: Digest) -> bool:
        return digest in self.blobs

    def put_blob(self, gun: Gun, digest: Digest, chunks: Iterable[bytes], size: int) -> None:
        data = b"".join(chunks)
        assert (len(data), Digest.of(data)) == (size, digest)
        self.blobs[digest] = data

    def blob(self, gun: Gun, digest: Digest, size: int) -> Iterator[bytes]:
        yield self.blobs[digest]


def push_layout(folder: Path, tag: str, to: ImageRef, registry: MemoryRegistry) -> Digest:
    return push(LayoutImage(Layout(folder), tag, registry), to, registry)


def descriptor(data: bytes, media_type: str = "application/octet-stream") -> dict[str, object]:
    return {"mediaType": media_type, "digest": str(Digest.of(data)), "size": len(data)}


def image(platform: str = "") -> bytes:
    layers = [descriptor(LAYER), descriptor(platform.encode())]
    return json.dumps(
        {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor(CONFIG), "layers": layers}
    ).encode()


def index(*children: bytes) -> bytes:
    listed = [descriptor(child, json.loads(child)["mediaType"]) for child in children]
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed}).encode()


AMD, ARM = image("amd64"), image("arm64")
MULTI = index(AMD, ARM)


def layout(folder: Path, *datas: bytes, **tags: bytes) -> Layout:
    """A layout written by hand, not by the code under test."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for data in (LAYER, CONFIG, b"amd64", b"arm64", b"", *datas, *tags.values()):
        (blobs / Digest.of(data).hex).write_bytes(data)
    entries = [
        {**descriptor(data, json.loads(data)["mediaType"]), "annotations": {REF_NAME: tag}}
        for tag, data in tags.items()
    ]
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    return Layout(folder)


@pytest.fixture
def registry() -> MemoryRegistry:
    return MemoryRegistry()


def ref(data: bytes | None = None, tag: str = "v1") -> ImageRef:
    return ImageRef(GUN, Tag(tag), Digest.of(data) if data is not None else None)


def test_push_sends_blobs_then_children_then_the_index_then_the_tag(tmp_path: Path, registry: MemoryRegistry) -> None:
    layout(tmp_path / "l", AMD, ARM, stable=MULTI)
    assert push_layout(tmp_path / "l", "stable", ref(), registry) == Digest.of(MULTI)
    assert registry.order == [*(str(Digest.of(d)) for d in (AMD, ARM, MULTI)), "v1"]
    assert set(registry.blobs.values()) == {LAYER, CONFIG, b"amd64", b"arm64"}


def test_what_was_pushed_can_be_pulled_and_pushed_again(tmp_path: Path, registry: MemoryRegistry) -> None:
    layout(tmp_path / "a", AMD, ARM, stable=MULTI)
    push_layout(tmp_path / "a", "stable", ref(), registry)
    copy = Layout(tmp_path / "b")
    for _ in range(2):
        OciEngine(copy, registry).pull(ref(MULTI))
    assert copy.tagged("v1") == Descriptor(OCI_INDEX, Digest.of(MULTI), len(MULTI))
    again = MemoryRegistry()
    assert push_layout(tmp_path / "b", "v1", ref(), again) == Digest.of(MULTI)
    assert again.manifests == registry.manifests
    index_json = json.loads((tmp_path / "b" / "index.json").read_text())
    assert len(index_json["manifests"]) == 1


def test_pull_keeps_the_layouts_other_tags(tmp_path: Path, registry: MemoryRegistry) -> None:
    used = layout(tmp_path / "l", v0=ARM, v1=ARM)
    push_layout(tmp_path / "l", "v0", ref(), registry)
    registry.put_blob(GUN, Digest.of(b"amd64"), [b"amd64"], 5)
    registry.put_manifest(GUN, Digest.of(AMD), ManifestBytes(Digest.of(AMD), OCI_MANIFEST, AMD))
    OciEngine(used, registry).pull(ref(AMD))
    assert (used.tagged("v0").digest, used.tagged("v1").digest) == (Digest.of(ARM), Digest.of(AMD))


def test_a_tampered_blob_leaves_nothing_and_no_tag(tmp_path: Path, registry: MemoryRegistry) -> None:
    layout(tmp_path / "a", v=AMD)
    push_layout(tmp_path / "a", "v", ref(), registry)
    registry.blobs[Digest.of(LAYER)] = LAYER[:-1] + b"X"
    with pytest.raises(DigestMismatch):
        OciEngine(Layout(tmp_path / "b"), registry).pull(ref(AMD))
    assert not (tmp_path / "b" / "index.json").exists()
    assert Digest.of(LAYER).hex not in {p.name for p in (tmp_path / "b").rglob("*")}
    assert not list((tmp_path / "b").rglob(".part-*"))


def test_a_blob_that_was_tampered_with_in_the_folder_is_fetched_anew(
    tmp_path: Path, registry: MemoryRegistry
) -> None:
    layout(tmp_path / "a", v=AMD)
    push_layout(tmp_path / "a", "v", ref(), registry)
    OciEngine(Layout(tmp_path / "b"), registry).pull(ref(AMD))
    path = tmp_path / "b" / "blobs" / "sha256" / Digest.of(LAYER).hex
    path.write_bytes(b"evil")
    OciEngine(Layout(tmp_path / "b"), registry).pull(ref(AMD))
    assert path.read_bytes() == LAYER


@pytest.mark.parametrize("victim", [LAYER, AMD, MULTI], ids=["layer", "child", "index"])
def test_a_tampered_layout_is_not_tagged(tmp_path: Path, registry: MemoryRegistry, victim: bytes) -> None:
    used = layout(tmp_path / "l", AMD, ARM, stable=MULTI)
    (used.folder / "blobs" / "sha256" / Digest.of(victim).hex).write_bytes(victim + b" ")
    with pytest.raises(DigestMismatch):
        push_layout(tmp_path / "l", "stable", ref(), registry)
    assert "v1" not in registry.manifests


def test_a_missing_blob(tmp_path: Path, registry: MemoryRegistry) -> None:
    used = layout(tmp_path / "l", v=AMD)
    (used.folder / "blobs" / "sha256" / Digest.of(LAYER).hex).unlink()
    with pytest.raises(NotFound, match="lacks the blob"):
        push_layout(tmp_path / "l", "v", ref(), registry)


def test_no_such_layout_or_tag(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="not an OCI layout"):
        Layout(tmp_path / "none").tagged("v")
    with pytest.raises(NotFound, match="no tag") as caught:
        layout(tmp_path / "l", v=AMD).tagged("w")
    assert "v" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"manifests":{}}',
        '{"manifests":[1]}',
        '{"manifests":[{"mediaType":"x","digest":"y","size":1}]}',
    ],
)
def test_a_damaged_index(tmp_path: Path, text: str) -> None:
    (tmp_path / "index.json").write_text(text)
    with pytest.raises(StateError):
        Layout(tmp_path).tagged("v")


def test_one_tag_on_two_manifests_is_ambiguous(tmp_path: Path) -> None:
    used = layout(tmp_path / "l", v=AMD, w=ARM)
    path = tmp_path / "l" / "index.json"
    path.write_text(path.read_text().replace('"w"', '"v"'))
    with pytest.raises(StateError, match="two manifests"):
        used.tagged("v")


def test_an_index_that_is_nested_too_deep(tmp_path: Path, registry: MemoryRegistry) -> None:
    nested = [AMD]
    for _ in range(5):
        nested.append(index(nested[-1]))
    layout(tmp_path / "l", *nested, deep=nested[-1])
    with pytest.raises(Garbage, match="nested"):
        push_layout(tmp_path / "l", "deep", ref(), registry)


FAKE = """#!/bin/sh
echo "$0 $DOCKER_CONTENT_TRUST $*" >> "$LOG"
case "$*" in *fail*) printf 'cannot \\033[31mdo\\n' >&2; exit 3;; esac
"""


@pytest.fixture
def tools(tmp_path: Path) -> dict[str, str]:
    """Commands that note how they were called; what a real engine does is tried with real ones elsewhere."""
    for name in ("docker", "skopeo"):
        (tmp_path / name).write_text(FAKE)
        (tmp_path / name).chmod(stat.S_IRWXU)
    return {"PATH": f"{tmp_path}:/usr/bin:/bin", "LOG": str(tmp_path / "log"), "DOCKER_CONTENT_TRUST": "1"}


def calls(tools: dict[str, str]) -> list[str]:
    return [line.rpartition("/bin/")[2].split(" ", 1)[1] for line in Path(tools["LOG"]).read_text().splitlines()]


def test_docker_pulls_the_digest_and_tags_it(tools: dict[str, str]) -> None:
    DockerEngine(tools).pull(ref(AMD))
    digest = Digest.of(AMD)
    assert calls(tools) == [f"0 pull --quiet {GUN}@{digest}", f"0 tag {GUN}@{digest} {GUN}:v1"]


@pytest.mark.parametrize("plain", [True, False])
def test_skopeo_copies_the_digest(tools: dict[str, str], plain: bool) -> None:
    SkopeoEngine("dir:/tmp/x", tools, plain_http=lambda _: plain).pull(ref(AMD))
    tls = " --src-tls-verify=false" if plain else ""
    assert calls(tools) == [f"1 copy --quiet --all{tls} docker://{GUN}@{Digest.of(AMD)} dir:/tmp/x"]


def test_an_engine_that_fails_says_why_on_one_line(tools: dict[str, str]) -> None:
    with pytest.raises(EngineFailed, match=r"skopeo failed: cannot \[31mdo$"):
        SkopeoEngine("dir:/fail", tools, plain_http=lambda _: False).pull(ref(AMD))


def test_an_engine_that_isnt_there() -> None:
    with pytest.raises(EngineFailed, match="not installed"):
        DockerEngine({"PATH": "/nonexistent"}).pull(ref(AMD))


def test_no_engine_is_told_a_tag_alone(tools: dict[str, str], registry: MemoryRegistry, tmp_path: Path) -> None:
    for used in (DockerEngine(tools), OciEngine(Layout(tmp_path / "l"), registry)):
        with pytest.raises(InvalidReference, match="digest"):
            used.pull(ref())


PODMAN = """#!/bin/sh
case "$1" in
  pull) echo "$PULLED";;
  image) printf '[{"Id": "%s", "Digest": "%s", "RepoDigests": null}]' "${HELD:-$PULLED}" "$DIGEST";;
esac
"""


def podman(tmp_path: Path, **says: str) -> PodmanEngine:
    (tmp_path / "podman").write_text(PODMAN)
    (tmp_path / "podman").chmod(stat.S_IRWXU)
    return PodmanEngine({"PATH": f"{tmp_path}:/usr/bin:/bin", **says}, plain_http=lambda _: True)


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        ({"PULLED": "", "DIGEST": str(Digest.of(AMD))}, EngineFailed),
        ({"PULLED": f"{GUN}:v1", "DIGEST": str(Digest.of(AMD))}, EngineFailed),
        ({"PULLED": "a" * 64, "DIGEST": str(Digest.of(ARM))}, DigestMismatch),
        ({"PULLED": "a" * 64, "DIGEST": ""}, DigestMismatch),
        ({"PULLED": "a" * 64, "DIGEST": "sha512:1"}, EngineFailed),
        ({"PULLED": "a" * 64, "DIGEST": '"'}, EngineFailed),
        ({"PULLED": "a" * 64, "HELD": "b" * 64, "DIGEST": str(Digest.of(AMD))}, DigestMismatch),
    ],
    ids=["no-id", "a-name", "another-digest", "no-digest", "another-algorithm", "no-json", "another-under-the-tag"],
)
def test_what_podman_has_stored_is_compared(tmp_path: Path, says: dict[str, str], expected: type[Exception]) -> None:
    with pytest.raises(expected):
        podman(tmp_path, **says).pull(ref(AMD))
    podman(tmp_path, PULLED="a" * 64, DIGEST=str(Digest.of(AMD))).pull(ref(AMD))


@pytest.mark.parametrize(
    "to", ["", "podman:x", "nerdctl", "skopeo:", "skopeo:x", "skopeo:--help:x", "oci:", "docker:x"]
)
def test_nowhere_to_pull_to(to: str, registry: MemoryRegistry) -> None:
    with pytest.raises(InvalidReference):
        engine(to, registry=registry, environ={}, plain_http=lambda _: False)


@pytest.mark.real
def test_skopeo_reads_what_we_write(tmp_path: Path, registry: MemoryRegistry) -> None:
    if shutil.which("skopeo") is None:
        pytest.skip("skopeo is not installed")
    import subprocess

    layout(tmp_path / "a", AMD, ARM, stable=MULTI)
    push_layout(tmp_path / "a", "stable", ref(), registry)
    OciEngine(Layout(tmp_path / "b"), registry).pull(ref(MULTI))
    raw = subprocess.run(
        ["skopeo", "inspect", "--raw", f"oci:{tmp_path}/b:v1"], capture_output=True, check=True
    ).stdout
    assert raw == MULTI
