"""Private files: 0600 in a 0700 folder, whole or not there, never over another, never readable by others."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from trustkit.errors import KeyExists, KeyFileInvalid, KeyMissing, StateError
from trustkit.folders import make_folder, sync_folder

_OTHERS = 0o077
_OTHERS_WRITE = 0o022


def ensure_folder(folder: Path) -> None:
    """Makes the folder 0700 where it is missing.

    Raises:
        StateError: it can't be made, is no folder, or others may write to it.
    """
    try:
        make_folder(folder)
        mode = folder.stat().st_mode
    except OSError as error:
        raise StateError(
            f"The key folder {folder} can't be used: {error.strerror}.",
            hint="Make it usable, or name another home: --home DIR or TRUSTKIT_HOME.",
        ) from error
    if mode & _OTHERS_WRITE:
        raise StateError(
            f"Others may write to the key folder {folder} (mode {stat.S_IMODE(mode):04o}).",
            hint=f"Look who did what in there, then: chmod 700 {folder}",
        )


def names(folder: Path, suffix: str) -> list[Path]:
    """The files in a folder whose names end like this, in order, hidden ones left out; none where it is missing.

    Raises:
        StateError: the folder can't be read, which is not the same as an empty one.
    """
    try:
        found = sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StateError(f"The key folder {folder} can't be read: {error.strerror}.") from error
    return [path for path in found if path.name.endswith(suffix) and not path.name.startswith(".")]


def read(path: Path, limit: int, *, what: str = "key file", others: bool = False) -> bytes:
    """The bytes of a private file.

    Args:
        limit: the most bytes to read; one more is read where the file is longer, so that the caller sees it.
        what: what kind of file it is, for errors.
        others: whether a file is read that others may read or write: a backup on a stick that knows no modes.

    Raises:
        KeyMissing: there is none.
        KeyFileInvalid: others may read or write it, it is no regular file, or it can't be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise KeyFileInvalid(f"{path} is no regular file.")
            if status.st_mode & _OTHERS and not others:
                raise KeyFileInvalid(
                    f"Others may use the {what} {path} (mode {stat.S_IMODE(status.st_mode):04o}); it is not read.",
                    hint=f"If nobody else had it, chmod 600 {path}; otherwise replace the key.",
                )
            return file.read(limit + 1)
    except FileNotFoundError as error:
        raise KeyMissing(f"There is no {what} {path}.", hint="Correct the path.") from error
    except OSError as error:
        raise KeyFileInvalid(f"The {what} {path} can't be read: {error.strerror}.") from error


def write_new(path: Path, data: bytes) -> None:
    """Writes a file that isn't there yet; it is on disk, with its name, when this returns.

    Raises:
        KeyExists: something has this name, and it is left as it is; StateError.
    """
    with _written(path, data) as temporary:
        _link(temporary, path)


@contextmanager
def placing(files: Mapping[Path, bytes]) -> Iterator[None]:
    """Puts new files in place for a block: all of them stay, or none where one can't be put or the block raises.

    They are on disk, with their names, when the block has ended.

    Raises:
        KeyExists: something has one of the names, and is left as it is; StateError.
    """
    placed: list[Path] = []
    with ExitStack() as stack:
        written = [(stack.enter_context(_written(path, data)), path) for path, data in files.items()]
        try:
            for temporary, path in written:
                _link(temporary, path)
                placed.append(path)
            yield
        except BaseException:
            for path in placed:
                with suppress(OSError):
                    path.unlink(missing_ok=True)
            raise


def create(path: Path, data: bytes) -> None:
    """Writes a file that isn't there yet, where there may be no hard links, as on a stick: not whole at once, but it
    is on disk when this returns, and gone where it raises.

    Raises:
        KeyExists: something has this name, a link that leads nowhere too, and it is left as it is; StateError.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise _exists(path) from error
    except OSError as error:
        raise StateError(f"{path} can't be written: {error.strerror}.") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(path.parent)
    except BaseException as error:
        with suppress(OSError):  # a disk that has failed may take nothing at all any more
            path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise StateError(f"{path} can't be written: {error.strerror}.") from error
        raise


def replace(path: Path, data: bytes) -> None:
    """Puts new bytes in the place of a file that is there, at once; raises StateError."""
    with _written(path, data) as temporary:
        temporary.replace(path)


def remove(path: Path) -> None:
    """Removes a file, for good when this returns; raises KeyMissing, StateError."""
    try:
        path.unlink()
        sync_folder(path.parent)
    except FileNotFoundError as error:
        raise KeyMissing(f"There is no key file {path}.", hint="Keys that are here: trustkit key list") from error
    except OSError as error:
        raise StateError(f"{path} can't be removed: {error.strerror}.") from error


@contextmanager
def _written(path: Path, data: bytes) -> Iterator[Path]:
    """A synced temporary file beside ``path``, gone afterwards, and the folder synced after the caller's move."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(file.fileno(), 0o600)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        raise StateError(f"{path} can't be written: {error.strerror}.") from error


def _link(temporary: Path, path: Path) -> None:
    try:
        os.link(temporary, path)
    except FileExistsError as error:
        raise _exists(path) from error


def _exists(path: Path) -> KeyExists:
    return KeyExists(f"{path} exists already, and is never overwritten.")
