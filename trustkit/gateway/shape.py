"""What a manifest's bytes can be taken for, by the most lenient reader that a client may have.

Go's JSON decoder ignores the case of names, takes broken UTF-8 and stops at the end of the first value: something
that any client could run as an image must not pass as something else here.
"""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from trustkit.core.manifests import INDEXES, MANIFESTS
from trustkit.core.names import Digest
from trustkit.errors import InvalidName

SNIFF_LIMIT = 8 * 1024 * 1024
"""Bytes; no client reads a manifest that is longer."""

_LISTS = ("manifests", "layers", "fslayers", "blobs")
_IMAGE_CONFIGS = frozenset(
    {
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.docker.container.image.v1+json",
        # Docker takes these for an image's configuration as well (distribution issue 1621).
        "application/octet-stream",
        "application/json",
        "text/html",
        "text/plain",
        "",
    }
)
_IMAGE_LAYERS = ("application/vnd.oci.image.layer.", "application/vnd.docker.image.rootfs.")


class Kind(enum.Enum):
    """What a document is at worst."""

    INDEX = "index"
    IMAGE = "image"
    ARTIFACT = "artifact"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Shape:
    """A document's kind, and what it refers to.

    Attributes:
        children: digests that it lists as manifests.
        subject: the manifest that it is a referrer of.
        artifact_type: by the rule of the referrers API.
    """

    kind: Kind
    children: tuple[Digest, ...] = ()
    subject: Digest | None = None
    artifact_type: str = ""


def shape_of(data: bytes, media_type: str = "") -> Shape:
    """Reads bytes as a manifest; ``media_type`` is what they are served as.

    A document that looks like two things is the more dangerous of them: an index before an image, an image before
    an artifact.  JSON that can't be read to its end counts as an image.
    """
    members = _members(data)
    if members is None:
        return Shape(Kind.OTHER)
    children = tuple(_digests(members.get("manifests")))
    subject = next(iter(_digests([members.get("subject")])), None)
    kind = _kind(members, media_type)
    return Shape(kind, children, subject, _artifact_type(members))


def _kind(members: dict[str, Any], media_type: str) -> Kind:
    types = {media_type, _text(members.get("mediatype"))}
    if types & INDEXES or isinstance(members.get("manifests"), list):
        return Kind.INDEX
    config = members.get("config")
    described = isinstance(config, dict) and "digest" in config
    if not (types & MANIFESTS or described or any(isinstance(members.get(name), list) for name in _LISTS)):
        return Kind.OTHER
    if _UNREADABLE in members or isinstance(members.get("fslayers"), list):
        return Kind.IMAGE
    if isinstance(members.get("blobs"), list) and not isinstance(members.get("layers"), list) and not described:
        return Kind.ARTIFACT
    config_type = _text(config.get("mediatype")) if isinstance(config, dict) else ""
    layers = members.get("layers")
    layer_types = [_text(layer.get("mediatype")) for layer in _dicts(layers)]
    if config_type in _IMAGE_CONFIGS or any(t.startswith(_IMAGE_LAYERS) for t in layer_types):
        return Kind.IMAGE
    return Kind.ARTIFACT


def _artifact_type(members: dict[str, Any]) -> str:
    config = members.get("config")
    own = members.get("artifacttype") or (config.get("mediatype") if isinstance(config, dict) else "")
    return own if isinstance(own, str) else ""


_UNREADABLE = "\0unreadable"


def _members(data: bytes) -> dict[str, Any] | None:
    text = data.decode("utf-8", "replace").lstrip(" \t\r\n")
    if not text.startswith("{"):
        return None
    try:
        value, _ = _DECODER.raw_decode(text)
    except RecursionError:
        return {_UNREADABLE: True, "layers": []}
    except ValueError:
        return {_UNREADABLE: True, "layers": []} if _SUSPECT.search(text) else None
    return value if isinstance(value, dict) else None


def _merged(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Lower-case members; of two of one name the one that says more, so that none hides behind the other."""
    members: dict[str, Any] = {}
    for name, value in pairs:
        name = name.casefold()
        before = members.get(name)
        if isinstance(before, list) and isinstance(value, list):
            value = [*before, *value]
        elif before is not None and not isinstance(before, type(value)) and isinstance(before, (list, dict)):
            value = before
        elif before is not None and before != value and not isinstance(value, list):
            members[_UNREADABLE] = True
        members[name] = value
    return members


# Numbers stay text: one of 5,000 digits is nothing to Go, and an error to Python's int.
_DECODER = json.JSONDecoder(object_pairs_hook=_merged, parse_int=str, parse_float=str, strict=False)
_SUSPECT = re.compile(r'"(?:manifests|layers|fslayers|blobs)"\s*:', re.IGNORECASE)


def _digests(listed: object) -> Iterator[Digest]:
    for item in _dicts(listed):
        try:
            yield Digest.parse(item.get("digest", ""))
        except (InvalidName, AttributeError, TypeError):
            continue


def _dicts(listed: object) -> list[dict[str, Any]]:
    return [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []


def _text(value: object) -> str:
    return value.partition(";")[0].strip().lower() if isinstance(value, str) else ""
