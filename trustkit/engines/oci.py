"""Images between an OCI layout and a registry, with no engine: push from one, pull to one."""

from __future__ import annotations

from dataclasses import dataclass

from trustkit.core.manifests import Descriptor, blobs, descriptor_of, reached
from trustkit.core.names import Digest, Gun, ImageRef
from trustkit.core.ports.images import ManifestBytes
from trustkit.core.ports.remote import ImageRegistry
from trustkit.engines.command import pinned
from trustkit.engines.layout import Layout
from trustkit.errors import DigestMismatch

_ELSEWHERE = ("nondistributable", "foreign")


@dataclass(frozen=True, slots=True)
class LayoutImage:
    """What an OCI layout has under a tag; an ``ImageSource``.

    Args:
        layout: the folder.
        tag: the name in the layout.
        registry: where it is pushed to.
    """

    layout: Layout
    tag: str
    registry: ImageRegistry

    def push(self, gun: Gun, wanted: Digest | None = None) -> ManifestBytes:
        """Pushes blobs and manifests by digest, each before what names it; no tag is touched.

        Args:
            wanted: the digest that it has to have; nothing is pushed where it has another.

        Returns:
            The manifest or index that the tag names in the layout; the repository holds it now.

        Raises:
            NotFound, StateError, DigestMismatch: the layout.
            Garbage: a manifest that can't be read, nested too deep or with too many parts.
            NotAllowed leaves, CouldNotCheck leaves, RegistryFailed: the registry.
        """
        layout = self.layout
        top = layout.manifest(layout.tagged(self.tag))
        if wanted not in (None, top.digest):
            raise DigestMismatch(f"The layout {layout.folder} has {top.digest} under {self.tag!r}, not {wanted}.")
        for manifest in reached(top, layout.manifest):
            for blob in blobs(manifest):
                _push_blob(layout, self.registry, gun, blob)
            self.registry.put_manifest(gun, manifest.digest, manifest)
        return top


def _push_blob(layout: Layout, registry: ImageRegistry, gun: Gun, blob: Descriptor) -> None:
    if any(word in blob.media_type for word in _ELSEWHERE) and not layout.holds(blob):
        return
    if not registry.has_blob(gun, blob.digest):
        registry.put_blob(gun, blob.digest, layout.chunks(blob), blob.size)


class OciEngine:
    """Pulls into an OCI layout folder.

    Args:
        layout: the folder; it is made where there is none.
        registry: where images come from.
    """

    def __init__(self, layout: Layout, registry: ImageRegistry) -> None:
        self._layout = layout
        self._registry = registry

    def pull(self, ref: ImageRef) -> None:
        """Fetches the digest with everything that it reaches, then lists it under the tag.

        Raises:
            DigestMismatch, Garbage, NotFound, StateError, NotAllowed leaves, CouldNotCheck leaves.
        """
        top = self._registry.manifest(ref.gun, pinned(ref))
        for manifest in reached(top, lambda child: self._registry.manifest(ref.gun, child.digest)):
            for blob in blobs(manifest):
                self._fetch(ref.gun, blob)
            self._layout.add(descriptor_of(manifest), [manifest.data])
        self._layout.tag(descriptor_of(top), str(ref.tag) if ref.tag else top.digest.hex)

    def _fetch(self, gun: Gun, blob: Descriptor) -> None:
        if any(word in blob.media_type for word in _ELSEWHERE) or self._layout.holds(blob):
            return
        self._layout.add(blob, self._registry.blob(gun, blob.digest, blob.size))
