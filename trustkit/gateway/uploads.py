"""Uploads in progress: one file each, which only grows while one holder has its lock."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import time
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from trustkit.core.names import Digest
from trustkit.errors import Conflict, DigestMismatch, NotFound
from trustkit.gateway.durable import make_folder, move_whole

MAX_AGE = 24 * 3600.0
"""Seconds after its last byte when an unfinished upload is thrown away."""
MAX_HASHES = 256
"""One takes 2.4 KiB; an upload whose hash was forgotten is read once more when it is finished."""
READ = 1 << 20
_SESSION = re.compile(r"[0-9a-f]{32}\Z")


class RunningHashes:
    """Hashes of unfinished uploads, so that a finished one needn't be read again; only a cache."""

    def __init__(self) -> None:
        self._hashes: OrderedDict[str, tuple[int, hashlib._Hash]] = OrderedDict()

    def take(self, session: str, offset: int) -> hashlib._Hash | None:
        """The hash of the first ``offset`` bytes, where it is known."""
        if offset == 0:
            return hashlib.sha256()
        known, value = self._hashes.pop(session, (0, None))
        return value if known == offset else None

    def keep(self, session: str, offset: int, value: hashlib._Hash | None) -> None:
        """Remembers the hash until the session goes on."""
        if value is not None:
            self._hashes[session] = (offset, value)
            while len(self._hashes) > MAX_HASHES:
                self._hashes.popitem(last=False)


class Upload:
    """One holder's turn with an upload.  What was written stays when the turn ends without ``finish``."""

    def __init__(self, path: Path, hashes: RunningHashes) -> None:
        if not _SESSION.match(path.name):
            raise NotFound("There is no such upload.")
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError as error:
            raise NotFound("There is no such upload.") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not path.exists() or not os.path.samestat(os.fstat(self._descriptor), path.stat()):
                raise FileNotFoundError  # Finished in between: what we opened is a blob by now.
        except BlockingIOError as error:
            os.close(self._descriptor)
            raise Conflict("Another request is writing to this upload.") from error
        except FileNotFoundError as error:
            os.close(self._descriptor)
            raise NotFound("There is no such upload.") from error
        self._path, self._hashes = path, hashes
        self.session = path.name
        self.offset = os.lseek(self._descriptor, 0, os.SEEK_END)
        self._hash = hashes.take(self.session, self.offset)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the turn; a second time does nothing."""
        if self._descriptor >= 0:
            self._hashes.keep(self.session, self.offset, self._hash)
            os.close(self._descriptor)
            self._descriptor = -1

    def write(self, data: bytes) -> None:
        """Appends; a failure half-way leaves the bytes that were written."""
        view, running = memoryview(data), self._hash
        self._hash = None
        while view:
            written = os.write(self._descriptor, view)
            self.offset += written
            view = view[written:]
        if running is not None:
            running.update(data)
        self._hash = running

    def cut(self, offset: int) -> None:
        """Drops everything from ``offset`` on."""
        os.ftruncate(self._descriptor, offset)
        os.lseek(self._descriptor, offset, os.SEEK_SET)
        self.offset, self._hash = offset, None

    def finish(self, digest: Digest, target: Path) -> None:
        """Moves the bytes to ``target``, durably, if their digest is this; else the upload is thrown away.

        Raises:
            DigestMismatch: the bytes have another digest.
        """
        found = self._digest()
        if found != digest:
            self.cancel()
            raise DigestMismatch(f"The upload has the digest {found}, not {digest}.")
        os.fsync(self._descriptor)
        move_whole(self._path, target)
        self._hash = None

    def cancel(self) -> None:
        """Throws the upload away."""
        self._path.unlink(missing_ok=True)
        self._hash = None

    def _digest(self) -> Digest:
        if self._hash is not None:
            return Digest.from_hex(self._hash.hexdigest())
        value, at = hashlib.sha256(), 0
        while data := os.pread(self._descriptor, READ, at):
            value.update(data)
            at += len(data)
        return Digest.from_hex(value.hexdigest())


def start(folder: Path) -> str:
    """Makes an empty upload in a repository's folder of uploads and throws away those that were forgotten."""
    make_folder(folder)
    _sweep(folder, time.time() - MAX_AGE)
    session = secrets.token_hex(16)
    os.close(os.open(folder / session, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    return session


def _sweep(folder: Path, before: float) -> None:
    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < before:
                path.unlink()
