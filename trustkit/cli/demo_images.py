"""Small images for the demonstration, written as OCI layouts (OCI image specification 1.1)."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
REF_NAME = "org.opencontainers.image.ref.name"


def write_image(layout: Path, tag: str, text: str, *, architectures: tuple[str, ...] = ()) -> str:
    """Writes an image with one file into a layout folder.

    Args:
        tag: its name in the layout.
        text: what its file says.
        architectures: makes an index with an image for each; a single image if empty.

    Returns:
        The digest of its manifest or index.
    """
    if architectures:
        manifests = [
            _image(layout, f"{text} on {architecture}", architecture)
            | {"platform": {"os": "linux", "architecture": architecture}}
            for architecture in architectures
        ]
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}
        top = _blob(layout, json.dumps(index).encode(), INDEX)
    else:
        top = _image(layout, text, "amd64")
    listed = layout / "index.json"
    entries = json.loads(listed.read_bytes())["manifests"] if listed.exists() else []
    entries.append(top | {"annotations": {REF_NAME: tag}})
    listed.write_text(json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return str(top["digest"])


def _image(layout: Path, text: str, architecture: str) -> dict[str, Any]:
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        entry = tarfile.TarInfo("message.txt")
        entry.size = len(text.encode())
        archive.addfile(entry, io.BytesIO(text.encode()))
    rootfs = {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(tar.getvalue()).hexdigest()}"]}
    config = json.dumps({"architecture": architecture, "os": "linux", "rootfs": rootfs}).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": _blob(layout, config, CONFIG),
        "layers": [_blob(layout, gzip.compress(tar.getvalue(), mtime=0), LAYER)],
    }
    return _blob(layout, json.dumps(manifest).encode(), MANIFEST)


def _blob(layout: Path, data: bytes, media_type: str) -> dict[str, Any]:
    digest = hashlib.sha256(data).hexdigest()
    folder = layout / "blobs" / "sha256"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / digest).write_bytes(data)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}
