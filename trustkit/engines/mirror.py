"""Where mirrors are written: a folder that any web server serves, or another registry.

FOLDER/v2/<gun>/_trust/metadata/{timestamp.json,1.root.json,...}   the collection, at the paths that a service has
FOLDER/v2/<gun>/_trust/targets/<sha256>.<tag>                      the signed manifests
FOLDER/images/<repository>/_oci/                                   an OCI image layout, as our registry has it
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from trustkit.core.manifests import Descriptor, descriptor_of
from trustkit.core.names import Gun, Tag
from trustkit.core.ports.images import ManifestBytes
from trustkit.core.ports.remote import ImageRegistry
from trustkit.engines.layout import Layout, replacing
from trustkit.errors import NotFound, StateError

MAX_FILE = 5_000_000


class MirrorFolder:
    """A static mirror; ``MirrorFiles`` and ``MirrorImages``.  Files are readable by everybody, as a web server needs.

    Args:
        path: made where there is none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the folder against other mirror runs for a block; raises StateError where another one has it."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise StateError(f"The folder {self.path} can't be used: {(error.strerror or '').lower()}.") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise StateError(f"{self.path} is being mirrored to by another trustkit.", hint="Wait for it.") from None
        finally:
            os.close(descriptor)

    def held(self, gun: Gun, name: str) -> bytes | None:
        """As ``MirrorFiles.held``."""
        return _read(self._trust(gun) / "metadata" / name)

    def put(self, gun: Gun, name: str, data: bytes) -> None:
        """As ``MirrorFiles.put``."""
        with replacing(self._trust(gun) / "metadata" / name) as file:
            file.write(data)

    def put_target(self, gun: Gun, name: str, data: bytes) -> None:
        """As ``MirrorFiles.put_target``."""
        path = self._trust(gun) / "targets" / name
        if _read(path) != data:
            with replacing(path) as file:
                file.write(data)

    def put_blob(self, gun: Gun, blob: Descriptor, chunks: Iterable[bytes]) -> bool:
        """As ``MirrorImages.put_blob``."""
        layout = self.layout(gun)
        if layout.holds(blob):
            return False
        layout.add(blob, chunks)
        return True

    def put_manifest(self, gun: Gun, manifest: ManifestBytes) -> None:
        """As ``MirrorImages.put_manifest``."""
        self.put_blob(gun, descriptor_of(manifest), [manifest.data])

    def tag(self, gun: Gun, tag: Tag, manifest: ManifestBytes) -> None:
        """As ``MirrorImages.tag``."""
        self.layout(gun).tag(descriptor_of(manifest), str(tag))

    def layout(self, gun: Gun) -> Layout:
        """Where the images of a repository lie."""
        return Layout(self.path / "images" / str(gun.repository) / "_oci")

    def _trust(self, gun: Gun) -> Path:
        return self.path / "v2" / str(gun) / "_trust"


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateError(f"{path} can't be read: {(error.strerror or '').lower()}.") from error


class MirrorRegistry:
    """Another registry; ``MirrorImages``, under one repository's name.

    Args:
        to: the repository that images go to, whatever collection they come from.
    """

    def __init__(self, registry: ImageRegistry, to: Gun) -> None:
        self._registry = registry
        self._to = to

    def put_blob(self, gun: Gun, blob: Descriptor, chunks: Iterable[bytes]) -> bool:  # noqa: ARG002 - the port's
        """As ``MirrorImages.put_blob``; the registry checks the digest."""
        if self._registry.has_blob(self._to, blob.digest):
            return False
        self._registry.put_blob(self._to, blob.digest, chunks, blob.size)
        return True

    def put_manifest(self, gun: Gun, manifest: ManifestBytes) -> None:  # noqa: ARG002 - the port's
        """As ``MirrorImages.put_manifest``."""
        self._registry.put_manifest(self._to, manifest.digest, manifest)

    def tag(self, gun: Gun, tag: Tag, manifest: ManifestBytes) -> None:  # noqa: ARG002 - the port's
        """As ``MirrorImages.tag``; where it points there already, nothing is written."""
        try:
            if self._registry.manifest(self._to, tag, registry_view=False).digest == manifest.digest:
                return
        except NotFound:
            pass
        self._registry.put_manifest(self._to, tag, manifest)
