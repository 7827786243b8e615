"""A Helm chart and an ORAS artifact are manifests like any other: pushed, signed, verified and pulled by digest."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.real.parts import Skopeo, Stand

pytestmark = pytest.mark.real

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CHART_YAML = b"apiVersion: v2\nname: hello\nversion: 0.1.0\ndescription: Says hello\n"


@dataclass(frozen=True)
class Artifact:
    """An OCI manifest with a configuration and layers of types that no image has."""

    config: tuple[str, bytes]
    layer: tuple[str, bytes]
    more: dict[str, Any]

    def write(self, folder: Path, tag: str) -> str:
        """Writes it as an OCI layout; returns the digest of its manifest."""
        (folder / "blobs" / "sha256").mkdir(parents=True)

        def blob(media_type: str, data: bytes) -> dict[str, Any]:
            digest = hashlib.sha256(data).hexdigest()
            (folder / "blobs" / "sha256" / digest).write_bytes(data)
            return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

        body = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": blob(*self.config),
            "layers": [blob(*self.layer)],
        }
        top = blob(MANIFEST, json.dumps({**body, **self.more}).encode())
        named = top | {"annotations": {"org.opencontainers.image.ref.name": tag}}
        (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [named]}))
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        return str(top["digest"])


def chart() -> bytes:
    """The archive of a small chart, as `helm package` lays one out."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, data in (("Chart.yaml", CHART_YAML), ("values.yaml", b"greeting: hello\n")):
            entry = tarfile.TarInfo(f"hello/{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


ARTIFACTS = {
    "helm-chart": Artifact(
        (
            "application/vnd.cncf.helm.config.v1+json",
            b'{"name":"hello","version":"0.1.0","description":"Says hello","apiVersion":"v2"}',
        ),
        ("application/vnd.cncf.helm.chart.content.v1.tar+gzip", chart()),
        {"annotations": {"org.opencontainers.image.title": "hello", "org.opencontainers.image.version": "0.1.0"}},
    ),
    "oras-artifact": Artifact(
        ("application/vnd.oci.empty.v1+json", b"{}"),
        ("application/vnd.example.sbom+json", b'{"packages": []}'),
        {"artifactType": "application/vnd.example.sbom"},
    ),
}


@pytest.fixture(scope="module", params=["embedded", "upstream"])
def place(request: pytest.FixtureRequest) -> Stand:
    """Each backend in turn, with everything below ``artifacts/`` trust-only."""
    stand: Stand = request.getfixturevalue(request.param)
    stand.trust_only("artifacts/*")
    return stand


@pytest.mark.parametrize("kind", list(ARTIFACTS))
def test_an_artifact_is_signed_and_pulled_like_an_image(
    place: Stand, skopeo_tool: Skopeo, tmp_path: Path, kind: str
) -> None:
    gun, artifact = f"{place.host}/artifacts/{kind}", ARTIFACTS[kind]
    digest = artifact.write(tmp_path / "in", "0.1.0")
    pushed = place.alice("push", f"oci:{tmp_path / 'in'}:0.1.0", f"{gun}:0.1.0")
    assert pushed.status == 0, pushed.err
    refused = skopeo_tool(place.carol, "inspect", "--raw", f"docker://{gun}:0.1.0")
    assert refused.status != 0
    assert f"Nothing is signed in artifacts/{kind}" in refused.err

    signed = place.alice("sign", f"{gun}:0.1.0")
    assert (signed.status, signed.out.strip()) == (0, f"{gun}:0.1.0@{digest}"), signed.err
    place.pinned(place.carol, gun)
    assert place.carol("verify", f"{gun}:0.1.0").out.strip() == f"{gun}:0.1.0@{digest}"

    pulled = place.carol("pull", f"{gun}:0.1.0", "--to", f"oci:{tmp_path / 'out'}")
    assert (pulled.status, pulled.out.strip()) == (0, f"{gun}:0.1.0@{digest}"), pulled.err
    kept = {path.name: path.read_bytes() for path in (tmp_path / "out" / "blobs" / "sha256").iterdir()}
    assert artifact.config[1] in kept.values()
    assert artifact.layer[1] in kept.values()

    raw = skopeo_tool(place.carol, "inspect", "--raw", f"docker://{gun}:0.1.0")
    assert (raw.status, raw.out.encode()) == (0, kept[digest[7:]]), raw.err
    assert skopeo_tool({}, "inspect", "--raw", f"oci:{tmp_path / 'out'}:0.1.0").out == raw.out


def test_one_collection_holds_an_image_and_a_chart(place: Stand, tmp_path: Path) -> None:
    gun = f"{place.host}/artifacts/mixed"
    chart_digest = ARTIFACTS["helm-chart"].write(tmp_path / "chart", "c")
    assert place.alice("push", f"oci:{tmp_path / 'chart'}:c", f"{gun}:chart").status == 0
    image_digest = place.alice.push(f"{gun}:image", "beside a chart")
    assert place.alice("sign", f"{gun}:chart", f"{gun}:image").status == 0
    place.pinned(place.carol, gun)
    both = place.carol("verify", f"{gun}:chart", f"{gun}:image")
    assert both.out.split() == [f"{gun}:chart@{chart_digest}", f"{gun}:image@{image_digest}"]
