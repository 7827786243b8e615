"""Bundles of a simulated collection, honest ones and others, made with no service."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from tests.attacks.collection import Collection
from trustkit.core.bundles import EMPTY_BYTES, Contents, collection_manifest
from trustkit.core.manifests import descriptor_of
from trustkit.core.names import Digest, Gun
from trustkit.core.ports.images import ManifestBytes

Members = list[tuple[str, bytes]]


def served(collection: Collection) -> dict[str, bytes]:
    """Every file that a bundle of the current state has, by its name."""
    roots = {f"{v}.root.json": data for (role, v), data in collection.history.items() if role == "root"}
    rest = {role: data for role, data in collection.files.items() if role != "root"}
    versions = {role: json.loads(data)["signed"]["version"] for role, data in rest.items()}
    named = {
        "timestamp.json" if role == "timestamp" else f"{versions[role]}.{role}.json": rest[role] for role in rest
    }
    return roots | named


def blob(data: bytes) -> tuple[str, bytes]:
    return f"blobs/sha256/{Digest.of(data).hex}", data


def members(
    collections: Mapping[Gun, Mapping[str, bytes]],
    images: Mapping[str, ManifestBytes],
    *more: ManifestBytes,
    wire: str = "tuf",
) -> Members:
    """What an honest bundle is made of."""
    held: dict[str, bytes] = dict([blob(EMPTY_BYTES)])
    artifacts = {gun: collection_manifest(files, wire) for gun, files in collections.items()}
    for files in collections.values():
        held |= dict(map(blob, files.values()))
    for manifest in [*artifacts.values(), *images.values(), *more]:
        held |= dict([blob(manifest.data)])
    contents = Contents(
        {gun: descriptor_of(artifact) for gun, artifact in artifacts.items()},
        {name: descriptor_of(image) for name, image in images.items()},
    )
    return [
        *sorted(held.items()),
        ("index.json", contents.to_bytes()),
        ("oci-layout", b'{"imageLayoutVersion": "1.0.0"}'),
    ]


def archive(path: Path, parts: Iterable[tuple[str, bytes] | tarfile.TarInfo]) -> Path:
    """A tar of these members, in this order."""
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for part in parts:
            if isinstance(part, tarfile.TarInfo):
                tar.addfile(part)
                continue
            info = tarfile.TarInfo(part[0])
            info.size = len(part[1])
            tar.addfile(info, io.BytesIO(part[1]))
    return path


def odd(name: str, kind: bytes, **fields: object) -> tarfile.TarInfo:
    """A member that is no regular file."""
    info = tarfile.TarInfo(name)
    info.type = kind
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def changed(parts: Members, name: str, change: Callable[[bytes], bytes]) -> Members:
    """The same members with the bytes of one of them changed, under the name that they had."""
    assert any(known == name for known, _ in parts)
    return [(known, change(data) if known == name else data) for known, data in parts]
