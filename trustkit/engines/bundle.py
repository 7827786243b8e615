"""Bundles: written from a layout folder that is thrown away, read without unpacking (``trustkit.core.bundles``)."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from trustkit.core.bundles import FORMER, MAX_INDEX, Contents, read_collection
from trustkit.core.manifests import Descriptor, media_type_of
from trustkit.core.names import Digest, Gun, ImageRef, Tag
from trustkit.core.ports.images import MAX_MANIFEST, ManifestBytes
from trustkit.core.rules import DOCKER, TUF
from trustkit.engines.archive import Archive, opened, pack
from trustkit.engines.layout import Layout
from trustkit.errors import BadBundle, DigestMismatch, NoCollection, NotFound, RegistryFailed, StateError

_MARK = {"imageLayoutVersion": "1.0.0"}
_BY_HASH = re.compile(r"\.[0-9a-f]{64}\.json\Z")


class Bundle:
    """An open bundle.  Everything that comes out of it has the digest that it was asked for by.

    Args:
        archive: the file, open as long as this is used.
    """

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._contents = Contents.parse(archive.read("index.json", MAX_INDEX))
        self._files: dict[Gun, tuple[str, Mapping[str, Descriptor]]] = {}
        self._check_mark()

    @cached_property
    def _path(self) -> Path:
        return self._archive.path

    def fetcher(self, gun: Gun) -> Callable[[str, int], bytes]:
        """Gives metadata files of one collection by name, as a service would, with no service.

        Raises:
            BadBundle: the bundle has nothing of this collection.
            NoCollection: it has it in the other format.
        """
        files = self._in_format(gun, TUF)

        def fetch(name: str, max_length: int) -> bytes:
            if name not in files:
                if name.endswith(".root.json") and name != "1.root.json":
                    raise NotFound(f"The bundle has no {name}.")
                raise BadBundle(
                    f"{self._path} has no {name} of {gun}.",
                    hint="It was made for other tags, or is not whole; make it anew with this reference.",
                )
            return self._held(files[name], name, max_length)

        return fetch

    def docker_fetcher(self, gun: Gun) -> Callable[[str, int], bytes]:
        """As ``fetcher``, of a collection in format ``docker``, as a Notary API would give its files."""
        files = self._in_format(gun, DOCKER)
        return self._docker_files(gun, files, whole=["root.json", "snapshot.json", "targets.json", "timestamp.json"])

    def former_fetcher(self, gun: Gun) -> Callable[[str, int], bytes]:
        """As ``docker_fetcher``, of the roots that a collection in format ``tuf`` had before its conversion."""
        files = self._in_format(gun, TUF)
        roots = {name.removeprefix(FORMER): file for name, file in files.items() if name.startswith(FORMER)}
        return self._docker_files(gun, roots, whole=())

    def _docker_files(
        self, gun: Gun, files: Mapping[str, Descriptor], *, whole: Collection[str]
    ) -> Callable[[str, int], bytes]:
        def fetch(name: str, max_length: int) -> bytes:
            role = _BY_HASH.sub(".json", name)  # whoever asks by a hash holds the bytes against it
            if name == "root.json":
                role = max((each for each in files if each.endswith(".root.json")), key=_version, default=name)
            if role not in files and role in whole:
                raise BadBundle(f"{self._path} has no {role} of {gun}.", hint="It is not whole; make it anew.")
            if role not in files:
                raise NotFound(f"The bundle has no {name}.")
            return self._held(files[role], name, max_length)

        return fetch

    def _held(self, file: Descriptor, name: str, max_length: int) -> bytes:
        if file.size > max_length:
            raise BadBundle(f"The bundle's {name} has more than the {max_length} bytes that it may have.")
        return b"".join(self.chunks(file))

    def _in_format(self, gun: Gun, wire: str) -> Mapping[str, Descriptor]:
        if gun not in self._files:
            self._files[gun] = self._collection(gun)
        there, files = self._files[gun]
        if there != wire:
            raise NoCollection(
                f"{self._path} has {gun} in format {there}, not in format {wire}.",
                hint="If its publisher has converted it, ask for the new root key ids over another channel, and pin "
                f"them: trustkit pin add {gun} --root-key ID --replace"
                if there == TUF
                else "",
                format=there,
            )
        return files

    def named(self, ref: ImageRef) -> Digest | None:
        """As ``BundledImages.named``."""
        entry = self._contents.images.get(str(ref))
        return entry.digest if entry else None

    def claimed(self, digest: Digest) -> str:
        """As ``BundledImages.claimed``."""
        listed = (entry.media_type for entry in self._contents.images.values() if entry.digest == digest)
        return next(listed, "")

    def manifest(self, descriptor: Descriptor) -> ManifestBytes:
        """As ``BundledImages.manifest``."""
        if descriptor.size > MAX_MANIFEST:
            raise BadBundle(f"The manifest {descriptor.digest} is over {MAX_MANIFEST} bytes.")
        data = b"".join(self.chunks(descriptor))
        return ManifestBytes(descriptor.digest, media_type_of(data, descriptor.media_type), data)

    def chunks(self, descriptor: Descriptor) -> Iterator[bytes]:
        """The bytes of a blob; raises DigestMismatch once they are known to be others, at the latest at the end."""
        name = f"blobs/sha256/{descriptor.digest.hex}"
        if name not in self._archive.members:
            raise BadBundle(
                f"{self._path} lacks {descriptor.digest}.",
                hint="It was made for other references, or without --images, which puts the layers in.",
            )
        hasher, size = hashlib.sha256(), self._archive.member(name).size
        if size != descriptor.size:
            raise DigestMismatch(f"{self._path}: {descriptor.digest} has {size} bytes, not {descriptor.size}.")
        for chunk in self._archive.chunks(name):
            hasher.update(chunk)
            yield chunk
        if hasher.hexdigest() != descriptor.digest.hex:
            raise DigestMismatch(f"{self._path}: the bytes of {descriptor.digest} are others than its name says.")

    def size(self, digest: Digest) -> int:
        """How many bytes lie under a digest; raises BadBundle where none do."""
        return self._archive.member(f"blobs/sha256/{digest.hex}").size

    def _collection(self, gun: Gun) -> tuple[str, Mapping[str, Descriptor]]:
        try:
            descriptor = self._contents.collections[gun]
        except KeyError:
            held = ", ".join(sorted(map(str, self._contents.collections))[:20]) or "nothing"
            raise BadBundle(f"{self._path} has nothing of {gun}.", hint=f"It is a bundle of: {held}.") from None
        if descriptor.size > MAX_MANIFEST:
            raise BadBundle(f"{self._path} lists {gun} with {descriptor.size} bytes.")
        return read_collection(b"".join(self.chunks(descriptor)))

    def _check_mark(self) -> None:
        try:
            mark = json.loads(self._archive.read("oci-layout", 1024))
        except ValueError:
            mark = None
        if mark != _MARK:
            raise BadBundle(f"{self._path} is not an OCI image layout of version 1.0.0.")


def _version(name: str) -> int:
    return int(name.partition(".")[0])


@contextmanager
def opened_bundle(path: Path) -> Iterator[Bundle]:
    """A bundle, open for a block; raises BadBundle, StateError."""
    with opened(path) as archive:
        yield Bundle(archive)


class BundleRegistry:
    """A bundle as a registry that is only read; an ``ImageRegistry``.

    Args:
        types: the media types of manifests that don't say theirs, by digest: known from what names them.
    """

    def __init__(self, bundle: Bundle, types: Mapping[Digest, str]) -> None:
        self._bundle = bundle
        self._types = types

    def manifest(self, gun: Gun, reference: Tag | Digest, *, registry_view: bool = False) -> ManifestBytes:  # noqa: ARG002 - the port's
        """By digest only; raises BadBundle, DigestMismatch."""
        if not isinstance(reference, Digest):
            raise NotFound("A bundle is asked by digest only.")
        known = self._types.get(reference, "")
        return self._bundle.manifest(Descriptor(known, reference, self._bundle.size(reference)))

    def blob(self, gun: Gun, digest: Digest, size: int) -> Iterator[bytes]:  # noqa: ARG002 - the port's
        """Raises BadBundle, DigestMismatch."""
        return self._bundle.chunks(Descriptor("", digest, size))

    def has_blob(self, gun: Gun, digest: Digest) -> bool:  # noqa: ARG002 - the port's
        """Whether it lies in the bundle."""
        try:
            return self._bundle.size(digest) >= 0
        except BadBundle:
            return False

    def put_manifest(self, gun: Gun, reference: Tag | Digest, manifest: ManifestBytes) -> None:  # noqa: ARG002
        """Raises RegistryFailed: a bundle is not written to."""
        raise RegistryFailed("A bundle is not written to.")

    def put_blob(self, gun: Gun, digest: Digest, chunks: Iterable[bytes], size: int) -> None:  # noqa: ARG002
        """Raises RegistryFailed: a bundle is not written to."""
        raise RegistryFailed("A bundle is not written to.")


@contextmanager
def packing(path: Path) -> Iterator[tuple[Layout, Callable[[Contents, Path], None]]]:
    """A folder beside ``path`` to fill, and what packs it into a file with an index; the folder is gone afterwards.

    Raises:
        StateError: the disk doesn't let us.
    """
    try:
        with TemporaryDirectory(prefix=f".{path.name[:60]}.", dir=path.parent) as scratch:
            folder = Path(scratch) / "layout"
            (folder / "blobs" / "sha256").mkdir(parents=True)

            def finish(contents: Contents, to: Path) -> None:
                (folder / "oci-layout").write_text(json.dumps(_MARK), encoding="ascii")
                (folder / "index.json").write_bytes(contents.to_bytes())
                pack(folder, to)

            yield Layout(folder), finish
    except OSError as error:
        raise StateError(f"{path} can't be written: {(error.strerror or 'unknown').lower()}.") from error
