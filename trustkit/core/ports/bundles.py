"""What use cases need from a bundle, a mirror and the folders that hold them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from trustkit.core.manifests import Descriptor
from trustkit.core.names import Digest, Gun, ImageRef, Tag
from trustkit.core.ports.images import ManifestBytes
from trustkit.core.ports.remote import Pin


class RootChain(Protocol):
    """The roots that were walked under a pin, as they are kept."""

    def roots(self, gun: Gun, pin: Pin) -> Mapping[int, bytes]:
        """By version, from the pin's anchor to the newest; each was verified by the one before it."""
        ...


class BlobFolder(Protocol):
    """Where content is put by digest.  Invariant: under a digest's name lie that digest's bytes, or nothing."""

    def holds(self, descriptor: Descriptor) -> bool: ...

    def add(self, descriptor: Descriptor, chunks: Iterable[bytes]) -> None:
        """Raises DigestMismatch where other bytes come; nothing is left of them then."""
        ...


class BundledImages(Protocol):
    """The manifests of a bundle."""

    def manifest(self, descriptor: Descriptor) -> ManifestBytes:
        """A manifest, hashed and measured; raises BadBundle where there is none, DigestMismatch for other bytes."""
        ...

    def claimed(self, digest: Digest) -> str:
        """The media type that the bundle's own index lists a digest with, or none; as good as a registry's word."""
        ...

    def named(self, ref: ImageRef) -> Digest | None:
        """The digest that the bundle's own index lists a reference under; believed by nobody."""
        ...


class MirrorFiles(Protocol):
    """Where a mirror's trust data lies, by the names that TUF clients ask for."""

    def held(self, gun: Gun, name: str) -> bytes | None:
        """A metadata file that is there; None where none is."""
        ...

    def put(self, gun: Gun, name: str, data: bytes) -> None:
        """Writes a metadata file, whole or not at all."""
        ...

    def put_target(self, gun: Gun, name: str, data: bytes) -> None:
        """Writes a signed manifest's bytes as ``<sha256>.<tag>``, where they aren't there yet."""
        ...


class MirrorImages(Protocol):
    """Where a mirror's images lie.  What is there under its digest isn't written again."""

    def put_blob(self, gun: Gun, blob: Descriptor, chunks: Iterable[bytes]) -> bool:
        """Whether it had to be written; raises DigestMismatch where other bytes come."""
        ...

    def put_manifest(self, gun: Gun, manifest: ManifestBytes) -> None: ...

    def tag(self, gun: Gun, tag: Tag, manifest: ManifestBytes) -> None:
        """Points a tag at a manifest that is there."""
        ...
