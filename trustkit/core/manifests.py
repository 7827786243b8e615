"""What a manifest is, read from its own bytes: kind, children, blobs (OCI image specification 1.1)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from trustkit.core.names import Digest
from trustkit.core.ports.images import ManifestBytes
from trustkit.core.records import dataclass
from trustkit.core.strictjson import unique
from trustkit.errors import DigestMismatch, Garbage, InvalidName

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
INDEXES = frozenset({OCI_INDEX, DOCKER_LIST})
MANIFESTS = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
_OF_IMAGES = frozenset({"config", "layers", "fslayers"})
MAX_DESCRIPTORS = 1_000
MAX_DEPTH = 4
MEDIA_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}\Z")
"""RFC 6838, section 4.2."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A reference to content by digest; ``size`` in bytes."""

    media_type: str
    digest: Digest
    size: int


def media_type_of(data: bytes, claimed: str) -> str:
    """The media type of a manifest: its own ``mediaType`` where it has one, else what was claimed for it.

    Raises:
        Garbage: no JSON object, it says another type than was claimed, or what it says is no media type.
    """
    own = _read(data).get("mediaType")
    claimed = claimed.partition(";")[0].strip()
    if own is not None and (not isinstance(own, str) or (claimed and own != claimed)):
        raise Garbage(f"A manifest of type {ascii(own)[:100]} came as {ascii(claimed)[:100]}.")
    if not (own or claimed):
        raise Garbage("A manifest came without a media type.")
    found = str(own or claimed)
    if not MEDIA_TYPE.match(found):
        raise Garbage(f"A manifest came with a media type that is none, {ascii(found)[:100]}.")
    return found


def check_unambiguous(manifest: ManifestBytes) -> None:
    """Holds a manifest to one reading: Go's readers take members whatever their letters' case, and the last of two.

    Raises:
        Garbage: it can be read in two ways, as an index and an image (CVE-2021-41190) or by a member that stands
            twice, or it isn't what its media type says.
    """
    try:
        members = json.loads(manifest.data, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise Garbage("A manifest is not JSON, or has a member twice.") from error
    if not isinstance(members, dict):
        raise Garbage("A manifest is not a JSON object.")
    names = {name.casefold() for name in members}
    is_index = "manifests" in names
    if len(names) != len(members) or (is_index and names & _OF_IMAGES):
        raise Garbage("A manifest can be read in two ways.")
    if is_index != (manifest.media_type in INDEXES) and (is_index or names & _OF_IMAGES):
        raise Garbage(f"A manifest of type {manifest.media_type} has members of another type.")


def children(manifest: ManifestBytes) -> tuple[Descriptor, ...]:
    """The manifests that an index lists; empty for anything that is no index.

    Raises:
        Garbage: descriptors that can't be read, or more than 1,000.
    """
    if manifest.media_type not in INDEXES:
        return ()
    return tuple(_descriptors(_read(manifest.data).get("manifests", [])))


def blobs(manifest: ManifestBytes) -> tuple[Descriptor, ...]:
    """Config and layers of an image manifest; empty for an index.  Raises Garbage as ``children``."""
    if manifest.media_type in INDEXES:
        return ()
    value = _read(manifest.data)
    config = [value["config"]] if "config" in value else []
    listed = value.get("layers", [])
    if not isinstance(listed, list):
        raise Garbage("A manifest's layers are no list.")
    return tuple(_descriptors([*config, *listed]))


def descriptor_of(manifest: ManifestBytes) -> Descriptor:
    """What an index would say of a manifest."""
    return Descriptor(manifest.media_type, manifest.digest, len(manifest.data))


def reached(top: ManifestBytes, fetch: Callable[[Descriptor], ManifestBytes]) -> Iterator[ManifestBytes]:
    """Every manifest that ``top`` reaches, children before their parents, each once.

    Args:
        fetch: gives the hashed manifest of a descriptor.

    Raises:
        DigestMismatch: one is not as its index describes it.
        Garbage: nested deeper than four levels, over 1,000 manifests, or one that can't be read.
    """
    seen: set[Digest] = set()

    def walk(manifest: ManifestBytes, depth: int) -> Iterator[ManifestBytes]:
        seen.add(manifest.digest)
        if depth > MAX_DEPTH or len(seen) > MAX_DESCRIPTORS:
            raise Garbage(f"{top.digest} is nested deeper than {MAX_DEPTH} or has over {MAX_DESCRIPTORS} manifests.")
        for child in children(manifest):
            if child.digest not in seen:
                yield from walk(_same(fetch(child), child), depth + 1)
        yield manifest

    return walk(top, 1)


def _same(manifest: ManifestBytes, descriptor: Descriptor) -> ManifestBytes:
    if len(manifest.data) != descriptor.size or manifest.digest != descriptor.digest:
        raise DigestMismatch(f"The manifest {descriptor.digest} is not as its index describes it.")
    return manifest


def describe(manifest: ManifestBytes) -> str:
    """A few words for people: ``index of 2 platforms, 1024 bytes``."""
    size = f"{len(manifest.data)} bytes"
    if manifest.media_type in INDEXES:
        return f"index of {len(children(manifest))} manifests, {size}"
    if manifest.media_type in MANIFESTS:
        return f"image or artifact manifest, {size}"
    return f"{manifest.media_type}, {size}"


def _read(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Garbage("A manifest is not JSON.") from error
    if not isinstance(value, dict):
        raise Garbage("A manifest is not a JSON object.")
    return value


def _descriptors(listed: object) -> Iterator[Descriptor]:
    if not isinstance(listed, list) or len(listed) > MAX_DESCRIPTORS:
        raise Garbage(f"A manifest lists more than {MAX_DESCRIPTORS} descriptors, or no list of them.")
    for entry in listed:
        try:
            size = entry["size"]
            if not isinstance(size, int) or isinstance(size, bool) or size < 0:
                raise TypeError
            yield Descriptor(str(entry["mediaType"]), Digest.parse(entry["digest"]), size)
        except (KeyError, TypeError, AttributeError, InvalidName) as error:
            raise Garbage("A manifest has a descriptor that can't be read.") from error
