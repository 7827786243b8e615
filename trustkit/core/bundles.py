"""What stands in a bundle: an OCI image layout whose index names collections and images.

A collection is an OCI artifact with one layer a metadata file, as docker/attest lays TUF metadata out in a registry:
``application/vnd.tuf.metadata+json``, with the file's name in the annotation ``tuf.io/filename``.  An image is listed
by the whole reference that it is signed for.  The files of a collection in format ``docker`` have a media type of
their own, and are named by their roles; so are the roots of one that was converted, which lie under ``docker/``
beside the files that count, for whoever has pinned a certificate that is in them.  All of it is read strictly, and
none of it is believed: files count by their signatures, manifests by the digests that those name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from trustkit.core.bins import MAX_BITS
from trustkit.core.formats.tuf1 import MAX_BYTES
from trustkit.core.manifests import OCI_INDEX, OCI_MANIFEST, Descriptor
from trustkit.core.names import Digest, Gun, ImageRef, shown
from trustkit.core.ports.images import MAX_MANIFEST, ManifestBytes
from trustkit.core.rules import DOCKER, TUF
from trustkit.core.saidbins import SAID_BITS
from trustkit.core.strictjson import parse, serialise
from trustkit.errors import BadBundle, Rejected, UsageError

COLLECTION = "application/vnd.trustkit.collection.v1"
METADATA = "application/vnd.tuf.metadata+json"
NOTARY_METADATA = "application/vnd.trustkit.notary-metadata.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"
FILE_NAME = "tuf.io/filename"
GUN_NAME = "vnd.trustkit.gun"
REF_NAME = "org.opencontainers.image.ref.name"
IMAGE_NAME = "io.containerd.image.name"
MAX_INDEX = MAX_MANIFEST
MAX_FILES = 768 + 2**MAX_BITS + 12 * 2**SAID_BITS
"""256 roots of each format, the top-level roles, every delegation that a client follows, the hash bins of the tags
and those of twelve signers.  For more than some 20,000 files there is no room in a manifest."""
FORMER = "docker/"
"""What the roots in format ``docker`` of a collection in format ``tuf`` are named after."""
_EMPTY_DATA = b"{}"
_ROLE = r"[a-z0-9][a-z0-9_-]{0,127}"
_FILE = re.compile(rf"(?:timestamp|[1-9][0-9]{{0,9}}\.{_ROLE})\.json\Z")
_FORMER_FILE = re.compile(rf"{FORMER}[1-9][0-9]{{0,9}}\.root\.json\Z")
_NOTARY_FILE = re.compile(r"(?:timestamp|snapshot|targets(?:/[-a-z0-9_]{1,248})*|[1-9][0-9]{0,9}\.root)\.json\Z")

EMPTY_BLOB = Descriptor(EMPTY, Digest.of(_EMPTY_DATA), len(_EMPTY_DATA))
EMPTY_BYTES = _EMPTY_DATA


@dataclass(frozen=True, slots=True)
class Contents:
    """What ``index.json`` lists: collections by GUN, and images by the references that they were signed for."""

    collections: Mapping[Gun, Descriptor]
    images: Mapping[str, Descriptor]

    def to_bytes(self) -> bytes:
        """``index.json``: the same bytes for the same contents."""
        listed = [
            _entry(descriptor, {GUN_NAME: str(gun)}, artifact=COLLECTION)
            for gun, descriptor in sorted(self.collections.items(), key=lambda item: str(item[0]))
        ]
        listed += [
            _entry(descriptor, {IMAGE_NAME: name, REF_NAME: name}) for name, descriptor in sorted(self.images.items())
        ]
        return serialise({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed})

    @classmethod
    def parse(cls, data: bytes) -> Contents:
        """Reads ``index.json``.

        Raises:
            BadBundle: it can't be read, names something twice, or lists what no bundle has.
        """
        value = _object(data, "index.json", MAX_INDEX)
        collections: dict[Gun, Descriptor] = {}
        images: dict[str, Descriptor] = {}
        for entry in _list(value, "manifests", "index.json"):
            descriptor, notes = _descriptor(entry, "index.json"), _notes(entry)
            if GUN_NAME in notes:
                _put(collections, _gun(notes[GUN_NAME]), descriptor)
            elif REF_NAME in notes:
                _put(images, _ref(notes), descriptor)
            else:
                raise BadBundle("The bundle's index.json lists something that is no collection and no image.")
        return cls(collections, images)


def collection_manifest(files: Mapping[str, bytes], wire: str = TUF) -> ManifestBytes:
    """The artifact that holds a collection's files, by their names, in its format, and roots of its former one.

    Raises:
        UsageError: more files than anybody would read.
    """
    if len(files) > MAX_FILES:
        raise UsageError(
            f"The collection has {len(files)} files, more than the {MAX_FILES} that fit a bundle.",
            hint="Mirror it: trustkit mirror GUN dir:PATH.",
        )
    layers = [
        _entry(Descriptor(_media_type(name, wire), Digest.of(data), len(data)), {FILE_NAME: name})
        for name, data in sorted(files.items())
    ]
    data = serialise(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": COLLECTION,
            "config": _entry(EMPTY_BLOB, {}),
            "layers": layers,
        }
    )
    return ManifestBytes(Digest.of(data), OCI_MANIFEST, data)


def read_collection(data: bytes) -> tuple[str, Mapping[str, Descriptor]]:
    """The files that a collection's artifact names, such as ``1.root.json`` and ``timestamp.json``, and its format.

    Raises:
        BadBundle: it can't be read, or names something twice, or something that is no metadata file.
    """
    what = "manifest of a collection"
    value = _object(data, what, MAX_MANIFEST)
    files: dict[str, Descriptor] = {}
    layers = _list(value, "layers", what)
    if len(layers) > MAX_FILES:
        raise BadBundle(f"A collection in the bundle has more than {MAX_FILES} files.")
    wire = DOCKER if layers and _descriptor(layers[0], what).media_type == NOTARY_METADATA else TUF
    for entry in layers:
        name, descriptor = _notes(entry).get(FILE_NAME, ""), _descriptor(entry, what)
        if not _is_name(name, wire) or descriptor.media_type != _media_type(name, wire):
            raise BadBundle(f"A collection in the bundle has the file {shown(name)}, which is no TUF metadata.")
        if descriptor.size > max(MAX_BYTES.values()):
            raise BadBundle(f"The bundle's {name} has {descriptor.size} bytes, more than any metadata file.")
        _put(files, name, descriptor)
    return wire, files


def _media_type(name: str, wire: str) -> str:
    return METADATA if wire == TUF and not name.startswith(FORMER) else NOTARY_METADATA


def _is_name(name: str, wire: str) -> bool:
    if wire == DOCKER:
        return _NOTARY_FILE.match(name) is not None
    return (_FILE.match(name) or _FORMER_FILE.match(name)) is not None


def first_root(files: Iterable[str]) -> int:
    """The lowest version of the roots among these files; raises BadBundle where there is none."""
    versions = [int(name.partition(".")[0]) for name in files if name.endswith(".root.json")]
    if not versions:
        raise BadBundle("The bundle has no root for this collection.")
    return min(versions)


def _entry(descriptor: Descriptor, notes: Mapping[str, str], *, artifact: str = "") -> dict[str, Any]:
    entry: dict[str, Any] = {
        "mediaType": descriptor.media_type,
        "digest": str(descriptor.digest),
        "size": descriptor.size,
    }
    return entry | ({"artifactType": artifact} if artifact else {}) | ({"annotations": dict(notes)} if notes else {})


def _object(data: bytes, what: str, max_bytes: int) -> dict[str, Any]:
    try:
        return parse(data, max_bytes=max_bytes, what=f"The bundle's {what}")
    except Rejected as error:
        raise BadBundle(error.message) from error


def _list(value: Mapping[str, Any], name: str, what: str) -> list[Any]:
    listed = value.get(name)
    if not isinstance(listed, list):
        raise BadBundle(f"The bundle's {what} has no list of {name}.")
    return listed


def _descriptor(entry: Any, what: str) -> Descriptor:
    try:
        size, media_type = entry["size"], entry["mediaType"]
        if type(size) is not int or size < 0 or not isinstance(media_type, str):
            raise TypeError
        return Descriptor(media_type, Digest.parse(entry["digest"]), size)
    except (KeyError, TypeError, AttributeError, UsageError) as error:
        raise BadBundle(f"The bundle's {what} has an entry that can't be read.") from error


def _notes(entry: Mapping[str, Any]) -> Mapping[str, str]:
    notes = entry.get("annotations", {})
    if not isinstance(notes, dict) or not all(isinstance(value, str) for value in notes.values()):
        raise BadBundle("The bundle has annotations that are no texts.")
    return notes


def _gun(text: str) -> Gun:
    try:
        return Gun.parse(text)
    except UsageError as error:
        raise BadBundle(f"The bundle's index.json lists a collection of {shown(text)}, which is no name.") from error


def _ref(notes: Mapping[str, str]) -> str:
    name = notes[REF_NAME]
    if notes.get(IMAGE_NAME, name) != name:
        raise BadBundle(f"The bundle's index.json gives one image two names, {shown(name)} and another.")
    try:
        return str(ImageRef.parse(name))
    except UsageError as error:
        raise BadBundle(f"The bundle's index.json lists an image as {shown(name)}, which is no reference.") from error


def _put(where: dict[Any, Descriptor], name: Any, descriptor: Descriptor) -> None:
    if name in where:
        raise BadBundle(f"The bundle names {name} twice.")
    where[name] = descriptor
