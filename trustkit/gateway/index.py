"""``index.json`` of a repository's OCI layout: which manifests there are, and under which tags.

One descriptor for each tag, one without ``org.opencontainers.image.ref.name`` for a manifest without a tag (OCI
image layout 1.1).  What other tools wrote there and we can't read is kept and not served.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

from trustkit.core.manifests import OCI_INDEX
from trustkit.core.names import Digest, Tag
from trustkit.errors import InvalidName, StateError

REF_NAME = "org.opencontainers.image.ref.name"
SUBJECT = "dev.trustkit.subject"


@dataclass(frozen=True, slots=True)
class Entry:
    """A manifest that the repository holds.

    Attributes:
        size: in bytes.
        subject: what it refers to, where it is a referrer.
    """

    digest: Digest
    media_type: str
    size: int
    artifact_type: str = ""
    subject: Digest | None = None

    def descriptor(self, tag: Tag | None) -> dict[str, Any]:
        """The descriptor of ``index.json``."""
        value: dict[str, Any] = {"mediaType": self.media_type, "digest": str(self.digest), "size": self.size}
        if self.artifact_type:
            value["artifactType"] = self.artifact_type
        annotations = {}
        if tag is not None:
            annotations[REF_NAME] = str(tag)
        if self.subject is not None:
            annotations[SUBJECT] = str(self.subject)
        if annotations:
            value["annotations"] = annotations
        return value


@dataclass(frozen=True)
class Index:
    """One state of ``index.json``; changes give the next state."""

    descriptors: tuple[Mapping[str, Any], ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Raises StateError where it isn't an image index."""
        try:
            value = json.loads(data)
            listed = value.pop("manifests")
            if not all(isinstance(item, dict) for item in listed):
                raise TypeError
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise StateError("A repository's index.json can't be read.", hint="Restore the folder.") from error
        return cls(tuple(listed), value)

    def serialise(self) -> bytes:
        """The bytes of ``index.json``."""
        head = {"schemaVersion": 2, "mediaType": OCI_INDEX, **self.extra}
        return json.dumps({**head, "manifests": list(self.descriptors)}, separators=(",", ":")).encode()

    @cached_property
    def tags(self) -> Mapping[Tag, Entry]:
        """The manifests by tag."""
        return {tag: entry for tag, entry in self._readable if tag is not None}

    @cached_property
    def manifests(self) -> Mapping[Digest, Entry]:
        """Every manifest, by digest."""
        return {entry.digest: entry for _, entry in self._readable}

    @cached_property
    def _readable(self) -> tuple[tuple[Tag | None, Entry], ...]:
        return tuple(pair for item in self.descriptors if (pair := _read(item)) is not None)

    def with_manifest(self, entry: Entry, tag: Tag | None) -> Index:
        """The manifest is here, and ``tag`` points at it and at nothing else."""
        rest = self.without_tag(tag) if tag is not None else self
        if tag is None and entry.digest in rest.manifests:
            return self
        kept = (d for d in rest.descriptors if _read(d) != (None, entry))
        return Index((*kept, entry.descriptor(tag)), self.extra)

    def without_tag(self, tag: Tag) -> Index:
        """The tag is gone; its manifest stays."""
        entry = self.tags.get(tag)
        if entry is None:
            return self
        kept = [d for d in self.descriptors if (pair := _read(d)) is None or pair[0] != tag]
        if not any((pair := _read(d)) is not None and pair[1].digest == entry.digest for d in kept):
            kept.append(entry.descriptor(None))
        return Index(tuple(kept), self.extra)

    def without_manifest(self, digest: Digest) -> Index:
        """The manifest and every tag of it are gone."""
        return self.without_manifests((digest,))

    def without_manifests(self, digests: Collection[Digest]) -> Index:
        """These manifests and every tag of them are gone."""
        return Index(tuple(_all_but(self.descriptors, frozenset(digests))), self.extra)


def _all_but(descriptors: Iterable[Mapping[str, Any]], digests: Collection[Digest]) -> Iterable[Mapping[str, Any]]:
    return (d for d in descriptors if (pair := _read(d)) is None or pair[1].digest not in digests)


def _read(item: Mapping[str, Any]) -> tuple[Tag | None, Entry] | None:
    annotations = item.get("annotations") or {}
    try:
        name, subject = annotations.get(REF_NAME), annotations.get(SUBJECT)
        entry = Entry(
            Digest.parse(item["digest"]),
            str(item["mediaType"]),
            int(item["size"]),
            str(item.get("artifactType", "")),
            Digest.parse(subject) if subject is not None else None,
        )
        return (Tag.parse(name) if name is not None else None), entry
    except (InvalidName, KeyError, TypeError, ValueError, AttributeError):
        return None
