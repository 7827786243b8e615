"""Files of the data folder: who may read them, and how they come to be there whole."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trustkit.errors import StateError
from trustkit.folders import make_folder

PRIVATE = 0o600
PRIVATE_FOLDER = 0o700


def private_folder(path: Path) -> None:
    """Makes a folder 0700 where there is none; raises StateError where that can't be done."""
    try:
        make_folder(path, PRIVATE_FOLDER)
    except OSError as error:
        raise StateError(f"The folder {path} can't be made: {error.strerror}.") from error


def private_file(path: Path) -> None:
    """Makes an empty file 0600 where there is none, and takes others' rights from one that there is.

    Raises:
        StateError: it isn't a regular file, or not ours to change.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, PRIVATE)
        try:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                raise StateError(f"{path} is not a regular file.")
            if mode & 0o077:
                os.fchmod(descriptor, PRIVATE)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StateError(f"{path} can't be opened: {error.strerror}.", hint="Check who owns it.") from error


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds an exclusive lock on a file between processes, and waits for it; raises StateError."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
    except OSError as error:
        raise StateError(f"{path} can't be opened: {error.strerror}.", hint="Check who owns it.") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
