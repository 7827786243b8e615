"""Mirrors: what a consumer verifies, written where others read it, with no key and nothing vouched for.

A mirror can withhold and it can be old; it can't change anything, for whoever reads it verifies as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tuf.api.metadata import Timestamp

from trustkit.client.bundle import ELSEWHERE
from trustkit.client.collecting import Collect
from trustkit.client.verify import Trusted
from trustkit.core.formats.tuf1 import read
from trustkit.core.manifests import blobs, reached
from trustkit.core.names import Gun, ImageRef, Tag
from trustkit.core.ports.bundles import MirrorFiles, MirrorImages
from trustkit.core.ports.images import ManifestBytes
from trustkit.core.ports.remote import ImageRegistry
from trustkit.core.rules import DOCKER
from trustkit.core.view import SignedTarget
from trustkit.errors import Conflict, DigestMismatch, Rejected, RolledBack, StateError, WrongFormat

_TIMESTAMP = "timestamp.json"


@dataclass(slots=True)
class Mirrored:
    """What was done: tags with their digests, and how much of it had to be written."""

    tags: list[ImageRef] = field(default_factory=list)
    files: int = 0
    blobs: int = 0


class Mirror:
    """The mirror use case; the clock is read once a call.

    Args:
        verify: says what any consumer here may use as signed, policies included.
        collect: gives whole collections.
        registry: where images come from.
        images: where they go.
        files: where trust data goes; None for nowhere.
    """

    def __init__(
        self,
        verify: Callable[[ImageRef], Trusted],
        collect: Collect,
        registry: ImageRegistry,
        *,
        images: MirrorImages,
        files: MirrorFiles | None,
        clock: Callable[[], datetime],
    ) -> None:
        self._verify = verify
        self._collect = collect
        self._registry = registry
        self._images = images
        self._files = files
        self._clock = clock

    def __call__(self, gun: Gun, tags: Sequence[Tag] = ()) -> Mirrored:
        """Mirrors one collection, verified in whole before anything of it is written; its timestamp is written last.

        Args:
            tags: those whose images are wanted; all for none.

        Raises:
            RolledBack: the mirror has a newer state already.
            Conflict: it has other bytes under a version that is signed already.
            NotTrusted and its leaves, NotAllowed; what the destination raises.
        """
        now, done = self._clock(), Mirrored()
        collected = self._collect(gun, now)
        if collected.current.pin.format == DOCKER and self._files is not None:
            raise WrongFormat(
                f"{gun} is in format docker, whose clients ask a Notary API and read no static files.",
                hint="Mirror its images to another registry, take a bundle (trustkit bundle create), or convert it "
                "(trustkit convert).",
                format=DOCKER,
            )
        targets = collected.current.view.targets
        wanted = [self._wanted(gun, tag, targets) for tag in tags or sorted(targets)]
        tops = [self._top(gun, target) for target in wanted]
        missing = self._missing(gun, collected.files)
        for target, top in zip(wanted, tops, strict=True):
            self._image(gun, target, top, done)
        if self._files is not None:
            self._write(self._files, gun, missing, zip(wanted, tops, strict=True), done)
        done.tags = [ImageRef(gun, target.tag, target.digest) for target in wanted]
        return done

    def _wanted(self, gun: Gun, tag: Tag, targets: Mapping[Tag, SignedTarget]) -> SignedTarget:
        found = self._verify(ImageRef(gun, tag))
        target = targets.get(tag)
        if target is None or target.digest != found.digest:
            raise Conflict(f"{gun}:{tag} was signed anew meanwhile.", hint="Run it again.")
        return target

    def _top(self, gun: Gun, target: SignedTarget) -> ManifestBytes:
        top = self._registry.manifest(gun, target.digest)
        if (len(top.data), top.media_type) != (target.length, target.media_type or top.media_type):
            raise DigestMismatch(f"The manifest of {gun}:{target.tag} is not the one that is signed.")
        return top

    def _image(self, gun: Gun, target: SignedTarget, top: ManifestBytes, done: Mirrored) -> None:
        for manifest in reached(top, lambda child: self._registry.manifest(gun, child.digest)):
            for blob in blobs(manifest):
                if not any(word in blob.media_type for word in ELSEWHERE):
                    chunks = self._registry.blob(gun, blob.digest, blob.size)
                    done.blobs += self._images.put_blob(gun, blob, chunks)
            self._images.put_manifest(gun, manifest)
        self._images.tag(gun, target.tag, top)

    def _missing(self, gun: Gun, files: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """Those files that are not there; what is there has to be the same, and no newer."""
        if self._files is None:
            return {}
        there = {name: self._files.held(gun, name) for name in files}
        _check_not_newer(gun, there[_TIMESTAMP], files[_TIMESTAMP])
        for name, data in files.items():
            if name != _TIMESTAMP and there[name] not in (None, data):
                raise Conflict(
                    f"The mirror has a {name} of {gun} with other bytes than are signed.",
                    hint="Versions are never signed twice: somebody wrote it there. Mirror into another folder.",
                )
        return {name: data for name, data in files.items() if there[name] != data}

    @staticmethod
    def _write(
        files: MirrorFiles,
        gun: Gun,
        missing: Mapping[str, bytes],
        tops: Iterable[tuple[SignedTarget, ManifestBytes]],
        done: Mirrored,
    ) -> None:
        """What names something is written after it; the timestamp, which makes all of it count, is the last."""
        for target, top in tops:
            files.put_target(gun, f"{target.digest.hex}.{target.tag}", top.data)
        for name in sorted(missing, key=_order):
            files.put(gun, name, missing[name])
            done.files += 1


def _check_not_newer(gun: Gun, there: bytes | None, ours: bytes) -> None:
    if there is None or there == ours:
        return
    try:
        old, new = (read(data, Timestamp).signed.version for data in (there, ours))
    except Rejected as error:
        raise StateError(f"The mirror's timestamp.json of {gun} can't be read: {error.message}") from error
    if old > new:
        raise RolledBack(
            f"The mirror has version {old} of the timestamp of {gun}, and {new} is what is served here.",
            hint="An older state is being served here, or somebody else wrote there. Nothing was written.",
        )
    if old == new:
        raise Conflict(f"The mirror has another timestamp of {gun} of the same version {new}.")


def _order(name: str) -> tuple[int, str]:
    role = name.removesuffix(".json").rpartition(".")[2]
    return {"root": 0, "snapshot": 2, "timestamp": 3}.get(role, 1), name
