"""Bundles: made as a consumer sees the collections, and verified where nobody can be asked."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from trustkit.client.collecting import Collect, Collected
from trustkit.client.leading import Follow
from trustkit.client.trust import Current, Trust
from trustkit.client.verify import Trusted, Verify, find
from trustkit.core.bundles import EMPTY_BLOB, EMPTY_BYTES, Contents, collection_manifest
from trustkit.core.manifests import Descriptor, blobs, descriptor_of, reached
from trustkit.core.names import Digest, Gun, ImageRef, Tag
from trustkit.core.offline import evaluate_aged
from trustkit.core.ports.bundles import BlobFolder, BundledImages
from trustkit.core.ports.images import ManifestBytes
from trustkit.core.ports.remote import ImageRegistry, MetadataSource, Pin, PinStore
from trustkit.core.rules import TUF
from trustkit.errors import DigestMismatch, TagMoved

Ask = Callable[[str], bool]
ELSEWHERE = ("nondistributable", "foreign")
"""Words in the media type of a layer that no registry holds."""


class CreateBundle:
    """The ``bundle create`` use case; the clock is read once a call.

    Args:
        verify: says what any consumer here may use as signed, policies included.
        collect: gives whole collections.
        registry: where manifests and layers come from.
        former: gives the roots in format ``docker`` of a collection that was converted.
    """

    def __init__(
        self,
        verify: Callable[[ImageRef], Trusted],
        collect: Collect,
        registry: ImageRegistry,
        *,
        clock: Callable[[], datetime],
        former: Callable[[Gun], Mapping[str, bytes]],
    ) -> None:
        self._verify = verify
        self._collect = collect
        self._former = former
        self._registry = registry
        self._clock = clock

    def __call__(self, refs: Sequence[ImageRef], into: BlobFolder, *, images: bool = False) -> Contents:
        """Puts the collections and manifests of these references into a folder.

        Args:
            images: put the layers there, too.

        Returns:
            What is to be listed in the bundle's index.

        Raises:
            NotTrusted and its leaves, NotAllowed: a reference that isn't trusted; there is no bundle then.
        """
        now, trusted = self._clock(), [self._verify(ref) for ref in refs]
        collections: dict[Gun, Descriptor] = {}
        listed: dict[str, Descriptor] = {}
        for gun in dict.fromkeys(each.gun for each in trusted):
            ours = [(ref, each) for ref, each in zip(refs, trusted, strict=True) if each.gun == gun]
            tags = {each.by.tag for _, each in ours}
            collected = self._collect(gun, now, tags=tags)
            for ref, each in ours:
                if find(collected.current.view, ref).digest != each.digest:
                    raise TagMoved(f"{ref} was signed anew while the bundle was made.", hint="Make it again.")
                name = replace(ref, gun=gun)  # by its home name, wherever it is fetched from
                listed[str(name)] = self._image(ref.gun, each, into, images=images)
            former = self._former(gun) if collected.current.pin.format == TUF else {}
            collections[gun] = _put_collection(collected, former, into)
        return Contents(collections, listed)

    def _image(self, gun: Gun, trusted: Trusted, into: BlobFolder, *, images: bool) -> Descriptor:
        """Fetches what the signed tag reaches; returns what the reference itself names."""
        top = self._registry.manifest(gun, trusted.by.digest)
        check_signed(top, trusted)
        found = {}
        for manifest in reached(top, lambda child: self._registry.manifest(gun, child.digest)):
            found[manifest.digest] = descriptor_of(manifest)
            for blob in blobs(manifest) if images else ():
                if not any(word in blob.media_type for word in ELSEWHERE) and not into.holds(blob):
                    into.add(blob, self._registry.blob(gun, blob.digest, blob.size))
            into.add(descriptor_of(manifest), [manifest.data])
        return _among(found, trusted)


class VerifyBundled:
    """The verify use case on a bundle: the reference is signed, and the bundle has the manifests that are.

    Args:
        verify: over the bundle's collections.
        images: the bundle's manifests.
    """

    def __init__(self, verify: Verify, images: BundledImages) -> None:
        self._verify = verify
        self._images = images
        self.types: dict[Digest, str] = {}
        """The media types of the manifests that were verified, by digest."""

    def __call__(self, ref: ImageRef, *, superseded: bool = False) -> Trusted:
        """As ``Verify``; what is superseded has no manifest in a bundle.  Every manifest that the signed tag
        reaches is hashed.

        Raises:
            DigestMismatch: other bytes than what is signed, or the bundle lists the reference under another digest.
            BadBundle: a manifest isn't there; and as ``Verify``.
        """
        trusted = self._verify(ref, superseded=superseded)
        claimed = trusted.by.media_type or self._images.claimed(trusted.by.digest)
        top = self._images.manifest(Descriptor(claimed, trusted.by.digest, trusted.by.length))
        check_signed(top, trusted)
        found = {m.digest: descriptor_of(m) for m in reached(top, self._images.manifest)}
        _among(found, trusted)
        self.types |= {digest: descriptor.media_type for digest, descriptor in found.items()}
        if (listed := self._images.named(ref)) not in (None, trusted.digest):
            raise DigestMismatch(f"The bundle lists {listed} as {ref}, which is signed for {trusted.digest}.")
        return trusted


class AgedTrust(Trust):
    """Pins and a bundle's state: an age in the place of the expiry of timestamp and snapshot (TRUST 6.3).

    Args:
        max_age: how long ago the timestamp of a GUN may have been signed.
    """

    def __init__(
        self,
        pins: PinStore,
        source: MetadataSource,
        *,
        max_age: Callable[[Gun], timedelta],
        ask: Ask | None = None,
        warn: Callable[[str], None] = lambda _: None,
        unsafe_trust_on_first_use: bool = False,
        follow: Follow | None = None,
    ) -> None:
        super().__init__(
            pins,
            source,
            ask=ask,
            warn=warn,
            unsafe_trust_on_first_use=unsafe_trust_on_first_use,
            follow=follow,
        )
        self._bundled = source
        self._max_age = max_age

    def under(self, pin: Pin, gun: Gun, now: datetime, *, tags: Collection[Tag] | None = None) -> Current:
        """As ``Trust.under``, of the bundle."""
        files = self._bundled.refresh(gun, pin, now, tags=tags).files
        max_age = self._max_age(gun)
        return Current(pin, files, evaluate_aged(files, gun, now, max_age=max_age, tags=tags, wire=pin.format))


def check_signed(top: ManifestBytes, trusted: Trusted) -> None:
    """Raises DigestMismatch where a manifest isn't what the signed tag says; format ``docker`` says no media type."""
    signed = (trusted.by.digest, trusted.by.length, trusted.by.media_type or top.media_type)
    if (top.digest, len(top.data), top.media_type) != signed:
        raise DigestMismatch(f"The manifest of {trusted.gun}:{trusted.by.tag} is not the one that is signed.")


def _among(found: dict[Digest, Descriptor], trusted: Trusted) -> Descriptor:
    try:
        return found[trusted.digest]
    except KeyError:
        raise DigestMismatch(f"{trusted.by.digest} doesn't list {trusted.digest}, which is signed with it.") from None


def _put_collection(collected: Collected, former: Mapping[str, bytes], into: BlobFolder) -> Descriptor:
    files = {**collected.files, **former}
    manifest = collection_manifest(files, collected.current.pin.format)
    for data in files.values():
        into.add(Descriptor("", Digest.of(data), len(data)), [data])
    into.add(EMPTY_BLOB, [EMPTY_BYTES])
    into.add(descriptor_of(manifest), [manifest.data])
    return descriptor_of(manifest)
