"""The embedded registry's storage: one standard OCI image layout for each repository.

    ROOT/team/app/_oci/{oci-layout,index.json,blobs/sha256/...}     what skopeo reads as oci:ROOT/team/app/_oci:TAG
    ROOT/team/app/_uploads/                                         unfinished uploads and files
    ROOT/team/app/_lock                                             held while index.json changes

No component of a repository's name starts with ``_``, so the folders never meet.  A blob is whole and synced under
its digest before ``index.json`` names it; ``index.json`` is replaced in one step.  So a process killed at any moment
leaves a layout that is valid and holds everything that was acknowledged.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock

from trustkit.core.bounded import Bounded
from trustkit.core.names import Digest, Repository, Tag
from trustkit.errors import InvalidName, NotFound, StateError
from trustkit.folders import sync_folder
from trustkit.gateway import uploads
from trustkit.gateway.collect import Collected, Rules, mark, old_files, remove, unmarked
from trustkit.gateway.durable import locked, make_folder, write_whole
from trustkit.gateway.index import Entry, Index
from trustkit.gateway.uploads import RunningHashes, Upload

LAYOUT, UPLOADS, LOCK = "_oci", "_uploads", "_lock"
_MARK = b'{"imageLayoutVersion":"1.0.0"}'
TOUCH_SECONDS = 600.0
"""How exactly is known when a blob was last asked for."""
_SETTLED = 0.1
"""Seconds after a change when its time stamp tells it from the next change of the same file."""
KEEP_DESCRIPTORS = 3_000
"""Of all repositories together, as they were read; one takes up to 1.7 KiB, looked for by tag and by digest."""
_Stamp = tuple[int, int, int]


@contextmanager
def disk_errors() -> Iterator[None]:
    """The one place where the file system's errors become ours."""
    try:
        yield
    except OSError as error:
        raise StateError(
            f"The registry's storage failed: {error.strerror or type(error).__name__}.",
            hint="See free space, permissions and the health of the disk.",
        ) from error


class Indexes:
    """What was read of ``index.json`` in many repositories, for any thread; those asked for last."""

    def __init__(self, limit: int = KEEP_DESCRIPTORS) -> None:
        self._kept: Bounded[Path, tuple[_Stamp, Index]] = Bounded(limit)
        self._changing = Lock()

    def get(self, folder: Path, stamp: _Stamp) -> Index | None:
        """That of a layout's folder, if the file is still the one that was read."""
        with self._changing:
            found = self._kept.get(folder)
        return found[1] if found is not None and found[0] == stamp else None

    def keep(self, folder: Path, stamp: _Stamp, index: Index) -> None:
        """Remembers it."""
        with self._changing:
            self._kept.keep(folder, (stamp, index), 1 + len(index.descriptors))

    @property
    def size(self) -> int:
        """Descriptors that are kept, and one for each repository."""
        return self._kept.size


class Layout:
    """One repository's layout.  Calls block on the disk; they are safe between threads and processes."""

    def __init__(self, folder: Path, hashes: RunningHashes, indexes: Indexes) -> None:
        self._folder, self._hashes, self._indexes = folder, hashes, indexes
        self._oci, self._uploads = folder / LAYOUT, folder / UPLOADS

    @property
    def exists(self) -> bool:
        """Whether a manifest was ever stored here."""
        return (self._oci / "index.json").is_file()

    def index(self) -> Index:
        """What ``index.json`` says now; empty where there is none.

        Raises:
            StateError: it can't be read.
        """
        with disk_errors():
            try:
                with (self._oci / "index.json").open("rb") as file:
                    status = os.fstat(file.fileno())
                    stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
                    if (known := self._indexes.get(self._oci, stamp)) is not None:
                        return known
                    index = Index.parse(file.read())
            except FileNotFoundError:
                return Index()
        if time.time() - status.st_mtime > _SETTLED:
            self._indexes.keep(self._oci, stamp, index)
        return index

    def blob(self, digest: Digest) -> Path:
        """Where the bytes of this digest are, or would be."""
        return self._oci / "blobs" / "sha256" / digest.hex

    def size(self, digest: Digest) -> int | None:
        """The size of a blob or manifest in bytes; None where it isn't here."""
        with disk_errors():
            try:
                return self.blob(digest).stat().st_size
            except FileNotFoundError:
                return None

    def read(self, digest: Digest) -> bytes | None:
        """The whole bytes; for manifests.  Who reads one may be about to sign it, see ``touch``."""
        with disk_errors():
            try:
                data = self.blob(digest).read_bytes()
            except FileNotFoundError:
                return None
            self.touch(digest)
            return data

    def put_manifest(self, data: bytes, entry: Entry, tag: Tag | None, needed: Iterable[Digest]) -> None:
        """Stores a manifest and points the tag at it, if everything it needs is here.

        Raises:
            NotFound: a blob or child is missing; ``context["missing"]`` lists all that are.
        """
        with self._changing():
            missing = [str(digest) for digest in needed if self.size(digest) is None]
            if missing:
                raise NotFound("The manifest refers to what isn't in the repository.", missing=missing)
            write_whole(self.blob(entry.digest), data, scratch=self._uploads)
            self._replace(self.index().with_manifest(entry, tag))

    def delete_tag(self, tag: Tag) -> None:
        """Removes a tag; its manifest stays.  Raises NotFound."""
        with self._changing(make=False):
            index = self.index()
            if tag not in index.tags:
                raise NotFound(f"There is no tag {tag}.")
            self._replace(index.without_tag(tag))

    def delete_manifest(self, digest: Digest) -> None:
        """Removes a manifest, every tag of it, and its bytes.  Raises NotFound."""
        with self._changing(make=False):
            index = self.index()
            if digest not in index.manifests:
                raise NotFound(f"There is no manifest {digest}.")
            self._replace(index.without_manifest(digest))
            self.blob(digest).unlink(missing_ok=True)

    def delete_blob(self, digest: Digest) -> None:
        """Removes a blob.  Raises NotFound, also for a manifest: that one is deleted as what it is."""
        with self._changing(make=False):
            if digest in self.index().manifests or self.size(digest) is None:
                raise NotFound(f"There is no blob {digest}.")
            self.blob(digest).unlink()
            sync_folder(self.blob(digest).parent)

    def link(self, source: Layout, digest: Digest) -> bool:
        """Takes a blob over from another repository without a copy; False where that one doesn't hold it."""
        with self._changing():
            try:
                with suppress(FileExistsError):
                    self.blob(digest).hardlink_to(source.blob(digest))
            except FileNotFoundError:
                return False
            self.touch(digest)
            sync_folder(self.blob(digest).parent)
            return True

    def touch(self, digest: Digest) -> None:
        """Notes that somebody has asked for it, who may need it in a moment: it isn't garbage for a grace period."""
        path = self.blob(digest)
        with suppress(FileNotFoundError, PermissionError):
            if time.time() - path.stat().st_mtime > TOUCH_SECONDS:
                os.utime(path)

    def collect(self, rules: Rules) -> Collected:
        """Removes what nothing needs.  Killed half-way, it leaves a valid layout, and the next time does the rest.

        No manifest comes in between.  A blob may, which is garbage at this moment: whoever then pushes the manifest
        that needs it is told that it is missing, and pushes it again.

        Raises:
            NotFound: nothing was ever stored here.
            StateError: the disk, or an ``index.json`` that can't be read.
        """
        with self._changing(make=False):
            index, folder = self.index(), self._oci / "blobs" / "sha256"
            marked = mark(index, rules, folder)
            gone = [digest for digest in index.manifests if digest not in marked.manifests]
            blobs = list(unmarked(marked, rules, folder))
            old = list(old_files(self._uploads, min(rules.before, time.time() - uploads.MAX_AGE)))
            size = sum(path.lstat().st_size for path in (*blobs, *old))
            if not rules.dry_run:
                if gone:
                    self._replace(index.without_manifests(gone))
                for path in blobs:
                    remove(path, rules)
                for path in old:
                    path.unlink(missing_ok=True)
                sync_folder(folder)
            names = [Digest.from_hex(path.name) for path in blobs]
            return Collected(tuple(gone), tuple(name for name in names if name not in gone), len(old), size)

    def start_upload(self) -> str:
        """The session of a new, empty upload."""
        with disk_errors():
            return uploads.start(self._uploads)

    def upload(self, session: str) -> Upload:
        """A turn with an upload.  Raises NotFound, or Conflict while another request has its turn."""
        with disk_errors():
            return Upload(self._uploads / session, self._hashes)

    def finish_upload(self, upload: Upload, digest: Digest) -> None:
        """Makes the upload the blob of this digest.  Raises DigestMismatch."""
        with disk_errors():
            make_folder(self.blob(digest).parent)
            upload.finish(digest, self.blob(digest))

    @contextmanager
    def _changing(self, *, make: bool = True) -> Iterator[None]:
        """Holds the lock; without ``make`` it raises NotFound where nothing was ever stored."""
        with disk_errors():
            if not make and not self._oci.is_dir():
                raise NotFound("There is no such repository.")
            for folder in (self._uploads, self._oci / "blobs" / "sha256"):
                make_folder(folder)
            with locked(self._folder / LOCK):
                yield

    def _replace(self, index: Index) -> None:
        if not (self._oci / "oci-layout").is_file():
            write_whole(self._oci / "oci-layout", _MARK, scratch=self._uploads)
        write_whole(self._oci / "index.json", index.serialise(), scratch=self._uploads)


class Layouts:
    """All repositories below one folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._hashes = RunningHashes()
        self.indexes = Indexes()

    def of(self, repository: Repository) -> Layout:
        """The layout of a repository, which needn't exist yet."""
        return Layout(self._root.joinpath(*repository.path.split("/")), self._hashes, self.indexes)

    def repositories(self) -> list[Repository]:
        """Every repository that exists, by name."""
        with disk_errors():
            return sorted(self._walk(self._root, ""))

    def _walk(self, folder: Path, prefix: str) -> Iterator[Repository]:
        if not folder.is_dir():
            return
        for child in folder.iterdir():
            if child.name == LAYOUT and prefix and (child / "index.json").is_file():
                with suppress(InvalidName):
                    yield Repository.parse(prefix)
            elif not child.name.startswith("_") and child.is_dir() and not child.is_symlink():
                yield from self._walk(child, f"{prefix}/{child.name}" if prefix else child.name)
