"""A folder in the OCI image layout (OCI image specification 1.1, "Image Layout"), read and written with every
digest and length checked."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trustkit.core.manifests import Descriptor, media_type_of
from trustkit.core.names import Digest
from trustkit.core.ports.images import MAX_MANIFEST, ManifestBytes
from trustkit.errors import DigestMismatch, InvalidName, InvalidReference, NotFound, StateError

REF_NAME = "org.opencontainers.image.ref.name"
_VERSION = {"imageLayoutVersion": "1.0.0"}
_CHUNK = 128 * 1024


@dataclass(frozen=True, slots=True)
class Layout:
    """The folder.  It need not exist before the first write."""

    folder: Path

    @classmethod
    def named(cls, text: str) -> Layout:
        """The one that a person names, ``~`` and all; raises InvalidReference for the home folder of nobody."""
        try:
            return cls(Path(text).expanduser().absolute())
        except RuntimeError as error:
            raise InvalidReference(f"{text[:100]!a} names nobody's home folder.") from error

    def tagged(self, tag: str) -> Descriptor:
        """What ``index.json`` lists under a tag.

        Raises:
            NotFound: no such layout or tag.
            StateError: it can't be read, or lists two things under the tag.
        """
        found = {entry.digest: entry for name, entry in self._entries() if name == tag}
        if not found:
            names = sorted({name for name, _ in self._entries() if name})
            raise NotFound(
                f"The layout {self.folder} has no tag {tag!r}.", hint=f"It has: {', '.join(names[:20]) or 'none'}."
            )
        if len(found) > 1:
            raise StateError(f"The layout {self.folder} lists two manifests under {tag!r}.")
        return next(iter(found.values()))

    def manifest(self, descriptor: Descriptor) -> ManifestBytes:
        """The manifest of a descriptor.

        Raises:
            NotFound, DigestMismatch; StateError where it is over 4 MiB; Garbage where it is no manifest.
        """
        if descriptor.size > MAX_MANIFEST:
            raise StateError(f"The manifest {descriptor.digest} is over {MAX_MANIFEST} bytes.")
        data = b"".join(self.chunks(descriptor))
        return ManifestBytes(descriptor.digest, media_type_of(data, descriptor.media_type), data)

    def chunks(self, descriptor: Descriptor) -> Iterator[bytes]:
        """The bytes of a blob; raises DigestMismatch once they are known to be others, at the latest at the end."""
        hasher, left = hashlib.sha256(), descriptor.size
        path = self._blob(descriptor.digest)
        try:
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    left -= len(chunk)
                    if left < 0:
                        break
                    hasher.update(chunk)
                    yield chunk
        except FileNotFoundError as error:
            raise NotFound(f"The layout {self.folder} lacks the blob {descriptor.digest}.") from error
        except OSError as error:
            raise StateError(f"{path} can't be read.") from error
        if left != 0 or hasher.hexdigest() != descriptor.digest.hex:
            raise DigestMismatch(f"{path} has other bytes than its name and the manifest say.")

    def holds(self, descriptor: Descriptor) -> bool:
        """Whether the blob is here, with the right bytes."""
        try:
            for _ in self.chunks(descriptor):
                pass
        except (NotFound, DigestMismatch):
            return False
        return True

    def add(self, descriptor: Descriptor, chunks: Iterable[bytes]) -> None:
        """Writes a blob, under its name only when its bytes are the right ones.

        Raises:
            DigestMismatch: they are not; nothing is left of them.
            StateError: the folder doesn't let us.
        """
        hasher, size = hashlib.sha256(), 0
        with replacing(self._blob(descriptor.digest)) as file:
            for chunk in chunks:
                size += len(chunk)
                hasher.update(chunk)
                file.write(chunk)
            if size != descriptor.size or hasher.hexdigest() != descriptor.digest.hex:
                raise DigestMismatch(f"What came as {descriptor.digest} has other bytes.")

    def tag(self, descriptor: Descriptor, tag: str) -> None:
        """Lists a manifest under a tag, which leaves whatever had it; other entries stay."""
        entry = {
            "mediaType": descriptor.media_type,
            "digest": str(descriptor.digest),
            "size": descriptor.size,
            "annotations": {REF_NAME: tag},
        }
        self._make()
        with self._locked():
            index = self._index() or {"schemaVersion": 2, "manifests": []}
            kept = [other for other in index["manifests"] if _name(other) != tag]
            self._write("oci-layout", _VERSION)
            self._write("index.json", {**index, "manifests": [*kept, entry]})

    def _make(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StateError(f"The folder {self.folder} can't be made.") from error

    def _write(self, name: str, value: object) -> None:
        with replacing(self.folder / name) as file:
            file.write(json.dumps(value).encode("ascii"))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _index(self) -> dict[str, Any] | None:
        path = self.folder / "index.json"
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateError(f"{path} can't be read.") from error
        try:
            index = json.loads(data) if len(data) <= MAX_MANIFEST else None
        except (ValueError, RecursionError):
            index = None
        if not isinstance(index, dict) or not isinstance(index.get("manifests"), list):
            raise StateError(f"{path} is not the index of an OCI layout.")
        return index

    def _entries(self) -> list[tuple[str, Descriptor]]:
        index = self._index()
        if index is None:
            raise NotFound(f"{self.folder} is not an OCI layout: it has no index.json.")
        try:
            return [(_name(entry), _descriptor(entry)) for entry in index["manifests"]]
        except (KeyError, TypeError, ValueError, InvalidName) as error:
            raise StateError(f"{self.folder}/index.json has an entry that can't be read.") from error

    def _blob(self, digest: Digest) -> Path:
        return self.folder / "blobs" / "sha256" / digest.hex


def _name(entry: Any) -> str:
    annotations = entry.get("annotations") if isinstance(entry, dict) else None
    name = annotations.get(REF_NAME) if isinstance(annotations, dict) else None
    return name if isinstance(name, str) else ""


def _descriptor(entry: Any) -> Descriptor:
    size = entry["size"]
    if type(size) is not int or size < 0:
        raise ValueError("size")
    return Descriptor(str(entry["mediaType"]), Digest.parse(entry["digest"]), size)


@contextmanager
def replacing(path: Path) -> Iterator[Any]:
    """A file that takes its name when the block ends well, and vanishes when it doesn't."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=".part-", dir=path.parent)
        temporary = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o644)
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        temporary = None
    except OSError as error:
        raise StateError(f"{path} can't be written: {(error.strerror or '').lower()}.") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
