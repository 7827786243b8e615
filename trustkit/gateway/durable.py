"""Files that are whole or absent after a crash at any moment, and locks between processes and threads."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trustkit.folders import sync_folder


def make_folder(folder: Path) -> None:
    """Makes a folder and its parents, readable by us alone; each new name is synced in its parent."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    sync_folder(folder.parent)


def write_whole(path: Path, data: bytes, *, scratch: Path) -> None:
    """Replaces a file in one step; afterwards it holds ``data``, also after a power failure.

    Args:
        scratch: a folder on the same file system for the file until it is whole.
    """
    temporary = scratch / f"tmp-{secrets.token_hex(16)}"
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        move_whole(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def move_whole(source: Path, target: Path) -> None:
    """Moves a synced file over ``target`` in one step and syncs the name."""
    source.replace(target)
    sync_folder(target.parent)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the exclusive lock of a lock file: one thread of one process at a time.

    Every call opens the file anew, because flock belongs to the open file: that is what makes it work between
    threads as well.  A killed process loses its locks.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
