"""The key-encryption key: a file outside the database and its backups, plain or wrapped by a device (TRUST 8.5)."""

from __future__ import annotations

import base64
import binascii
import errno
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from trustkit.errors import StateError
from trustkit.folders import sync_folder
from trustkit.store.accesslist import for_us_alone
from trustkit.store.privatefile import PRIVATE, locked, private_folder

KEK_BYTES = 32
WRAPPED = "kek.wrapped"
_MAX_FILE = 16384
_MOST_KEYS = 2
"""The current key-encryption key and, while it is being changed, the one before."""


class KekFolder:
    """The files of the key-encryption key: ``KekFiles`` on a disk.

    Args:
        data_dir: the data folder, where the wrapped one lies.
        plain: where the plain one lies; ``kek`` in the data folder unless given.
    """

    def __init__(self, data_dir: Path, plain: Path | None = None) -> None:
        self._plain = plain or data_dir / "kek"
        self._wrapped = data_dir / WRAPPED
        self._seen: tuple[int, ...] | None = None

    @property
    def plain(self) -> str:
        """Where the plain one lies, for errors."""
        return str(self._plain)

    @property
    def wrapped(self) -> str:
        """Where the wrapped one lies, for errors."""
        return str(self._wrapped)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else changes which of them are there."""
        private_folder(self._wrapped.parent)
        with locked(self._wrapped.with_name(f"{WRAPPED}.lock")):
            for path in (self._plain, self._wrapped):
                _sweep(path)
            yield

    def has_plain(self) -> bool:
        """Whether there is a plain file, whatever it holds."""
        return os.path.lexists(self._plain)

    def read_plain(self) -> bytes | None:
        """The 32 bytes; None where there is no file."""
        return load_kek(self._plain, create=False) if self.has_plain() else None

    def read_keys(self) -> tuple[bytes, ...]:
        """The 32 bytes, and what is in the file after it while the key is being changed; empty for no file."""
        return (_opened(self._plain, self._note) or ()) if self.has_plain() else ()

    def read_again(self) -> tuple[bytes, ...]:
        """As ``read_keys``, where the file isn't the one that was last read here; else empty."""
        try:
            found = _stamp(self._plain.stat())
        except OSError:
            return ()
        return () if found == self._seen else self.read_keys()

    def replace_plain(self, keys: Sequence[bytes]) -> None:
        """Puts these keys into the file that is there, in one step."""
        lines = b"".join(base64.b64encode(key) + b"\n" for key in keys)
        if self._plain.is_symlink():
            raise StateError(f"{self._plain} is a link to {self._plain.resolve()}.", hint="Give --kek-file that one.")
        beside = self._plain.with_name(f"{self._plain.name}.{secrets.token_hex(4)}.new")
        owner = self._plain.stat()
        _write(beside, lines)
        try:
            if (owner.st_uid, owner.st_gid) != (os.geteuid(), os.getegid()):
                os.chown(beside, owner.st_uid, owner.st_gid)
            beside.replace(self._plain)
            sync_folder(self._plain.parent)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise StateError(f"{self._plain} can't be replaced: {error.strerror}.") from error

    def _note(self, status: os.stat_result) -> None:
        self._seen = _stamp(status)

    def make_plain(self) -> bytes:
        """The 32 bytes of the file, which is made first where there is none."""
        return load_kek(self._plain)

    def write_plain(self, kek: bytes) -> None:
        """Puts the 32 bytes into the file."""
        private_folder(self._plain.parent)
        _write(self._plain, base64.b64encode(kek) + b"\n")

    def read_wrapped(self) -> bytes | None:
        """What the wrapped file says; None where there is none."""
        try:
            descriptor = os.open(self._wrapped, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateError(f"{self._wrapped} can't be read: {error.strerror}.") from error
        try:
            return _private(self._wrapped, descriptor, hint="Wrapped, it opens nothing by itself: chmod 600.")
        finally:
            os.close(descriptor)

    def write_wrapped(self, data: bytes) -> None:
        """Puts this into the wrapped file."""
        _write(self._wrapped, data)

    def remove_plain(self) -> None:
        """Removes the plain file; on the disk below, what it held may outlast it."""
        _remove(self._plain)

    def remove_wrapped(self) -> None:
        """Removes the wrapped file."""
        _remove(self._wrapped)


def load_kek(path: Path, *, create: bool = True) -> bytes:
    """The 32 bytes of the key-encryption key; made, 0600 and fsynced, where there is no file yet.

    Args:
        path: a file holding the key in base64, one line.
        create: make a new key where there is none; otherwise its absence is an error.

    Raises:
        StateError: missing, readable by others, or not 32 bytes of base64.
    """
    found = _opened(path)
    if found is not None:  # whole, since ``_write`` links it; it may lie where nothing can be written beside it
        return found[0]
    if not create:
        raise StateError(f"There is no key-encryption key at {path}.", hint="Restore it.")
    private_folder(path.parent)
    with locked(path.with_name(path.name + ".lock")):
        found = _opened(path)
        return found[0] if found else _make(path)


def _opened(path: Path, note: Callable[[os.stat_result], None] | None = None) -> tuple[bytes, ...] | None:
    """The keys of the file, the current one first; None for no file.  ``note`` is told which file that was."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateError(f"{path} can't be read: {error.strerror}.") from error
    try:
        keys = _read(path, descriptor)
        if note is not None:
            note(os.fstat(descriptor))
        return keys
    finally:
        os.close(descriptor)


def _read(path: Path, descriptor: int) -> tuple[bytes, ...]:
    try:
        lines = _private(path, descriptor, hint=_SEEN).strip().split(b"\n")
        keys = tuple(base64.b64decode(line.strip(), validate=True) for line in lines)
    except (binascii.Error, ValueError):
        keys = ()
    if not 1 <= len(keys) <= _MOST_KEYS or len(set(keys)) != len(keys) or any(len(key) != KEK_BYTES for key in keys):
        raise StateError(f"{path} is not a key-encryption key.", hint="It has 32 bytes in base64, one line.")
    return keys


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


_SEEN = "Find out who read it, then: chmod 600. If in doubt, rotate every online key."


def _private(path: Path, descriptor: int, *, hint: str) -> bytes:
    """What is in an open file, which nobody else may use."""
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        raise StateError(f"The key-encryption key {path} is not a regular file.")
    if mode & 0o077 and not for_us_alone(descriptor):
        raise StateError(f"The key-encryption key {path} can be read by others.", hint=hint)
    return os.read(descriptor, _MAX_FILE + 1)


def _make(path: Path) -> bytes:
    key = secrets.token_bytes(KEK_BYTES)
    _write(path, base64.b64encode(key) + b"\n")
    return key


def _write(path: Path, data: bytes) -> None:
    """Writes beside, fsyncs, links: a crash leaves a whole file or none, and an existing one is never replaced."""
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE)
        try:
            if os.write(descriptor, data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        path.hardlink_to(beside)
        beside.unlink()
        sync_folder(path.parent)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise StateError(f"The key-encryption key {path} can't be written: {error.strerror}.") from error


def _sweep(path: Path) -> None:
    """Removes what a killed ``_write`` left beside this path: it holds the key, or is a second name of its file."""
    left = re.compile(re.escape(path.name) + r"\.[0-9a-f]{8}\.new")
    try:
        beside = [each for each in path.parent.iterdir() if left.fullmatch(each.name)]
    except OSError:  # no such folder yet, or one that we may not look into: then nothing of ours is left there
        return
    for each in beside:
        _remove(each)


def _remove(path: Path) -> None:
    if path.is_symlink():
        raise StateError(
            f"{path} is a link to {path.resolve()}, which holds the key-encryption key, and stays.",
            hint="Remove both yourself.",
        )
    try:
        path.unlink()
        sync_folder(path.parent)
    except OSError as error:
        raise StateError(f"{path} can't be removed: {error.strerror}.", hint="Remove it yourself.") from error
