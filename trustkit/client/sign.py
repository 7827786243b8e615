"""Signing and revoking tags: the digest is resolved, verified, shown, and only then signed (TRUST 4.4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trustkit.client.publish import Change, Publisher
from trustkit.core.manifests import describe
from trustkit.core.names import Digest, Gun, ImageRef, Tag
from trustkit.core.ports.images import ManifestBytes
from trustkit.core.ports.remote import ImageRegistry
from trustkit.core.view import SignedView
from trustkit.errors import DigestMismatch, UsageError


@dataclass(frozen=True, slots=True)
class SignedTag:
    """A tag that is signed now, for this digest."""

    gun: Gun
    tag: Tag
    digest: Digest

    def __str__(self) -> str:
        return f"{self.gun}:{self.tag}@{self.digest}"


class Sign:
    """The sign, revoke and init use cases."""

    def __init__(self, registry: ImageRegistry, publisher: Publisher, *, say: Callable[[str], None]) -> None:
        self._registry = registry
        self._publisher = publisher
        self._say = say

    def sign(self, refs: Sequence[ImageRef], *, root_key: str | None = None) -> list[SignedTag]:
        """Signs what each reference names, publishing each GUN once.

        A reference with a digest signs that digest; one without signs what the registry's own tag points at. Rights
        and manifests of all references are checked before the first key is touched.

        Raises:
            UsageError: no references, or a tag named twice with different digests.
            InvalidReference: a reference without a tag.
            everything that registry and ``Publisher`` raise.
        """
        if not refs:
            raise UsageError("No reference was given.")
        tags_named = [ref.required_tag for ref in refs]
        for gun in dict.fromkeys(ref.gun for ref in refs):
            self._publisher.require(gun)
        wanted: dict[Gun, dict[Tag, ManifestBytes]] = {}
        for ref, tag in zip(refs, tags_named, strict=True):
            manifest = self._resolve(ref, tag)
            tags = wanted.setdefault(ref.gun, {})
            if tags.setdefault(tag, manifest).digest != manifest.digest:
                raise UsageError(f"{ref.gun}:{ref.tag} is named twice, for different digests.")
        signed = []
        for gun, tags in wanted.items():
            self._publisher.publish(gun, Change(put=tags), root_key=root_key)
            signed += [SignedTag(gun, tag, manifest.digest) for tag, manifest in tags.items()]
        return signed

    def revoke(self, refs: Sequence[ImageRef]) -> None:
        """Withdraws the signatures of these tags, publishing each GUN once.

        Raises:
            UsageError: a reference with a digest.
            Unsigned, NoCollection: nothing to withdraw.
        """
        drops: dict[Gun, set[Tag]] = {}
        for ref in refs:
            if ref.digest is not None:
                raise UsageError(f"{ref} has a digest; a tag is revoked.", hint="Leave out the part from @ on.")
            drops.setdefault(ref.gun, set()).add(ref.required_tag)
        for gun in drops:
            self._publisher.require(gun)
        for gun, tags in drops.items():
            self._publisher.publish(gun, Change(drop=frozenset(tags)), found=False)

    def init(self, gun: Gun, *, root_key: str | None = None) -> SignedView:
        """Founds a collection that signs nothing yet; raises UsageError where there is one."""
        self._publisher.require(gun)
        there = self._publisher.current(gun)
        if there is not None:
            raise UsageError(f"{gun} has a collection already, with {len(there.view.targets)} signed tags.")
        return self._publisher.publish(gun, Change(), root_key=root_key)

    def _resolve(self, ref: ImageRef, tag: Tag) -> ManifestBytes:
        manifest = self._registry.manifest(ref.gun, ref.digest or tag, registry_view=True)
        if ref.digest is not None and manifest.digest != ref.digest:
            raise DigestMismatch(f"The registry sent {manifest.digest} for {ref}.")
        self._say(f"{ref.gun}:{tag} is {manifest.digest} ({describe(manifest)})")
        return manifest
