"""Exclusive locks between processes and between threads of one."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from trustkit.errors import StateError

TIMEOUT = 60.0
_FIRST_PAUSE = 0.002
_LONGEST_PAUSE = 0.05


@contextmanager
def exclusive(path: Path, *, timeout: float = TIMEOUT, clock: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """Holds the lock of a lock file for a block.

    The lock belongs to the open file, so two threads exclude each other as two processes do, and a killed process
    holds nothing.  Not reentrant.  The file stays: removing it would let two holders in.

    Args:
        path: the lock file, made 0600; its folder exists.
        timeout: seconds to wait.

    Raises:
        StateError: somebody else holds it for longer, or the file can't be used.
    """
    descriptor = _open(path)
    try:
        _acquire(descriptor, path, clock() + timeout, clock)
        yield
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateError(f"The lock file {path} can't be used: {(error.strerror or 'unknown').lower()}.") from error


def _acquire(descriptor: int, path: Path, deadline: float, clock: Callable[[], float]) -> None:
    pause = _FIRST_PAUSE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if clock() >= deadline:
                raise StateError(
                    f"{path} is locked by another trustkit.", hint="Wait for it to end and try again."
                ) from None
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
        except OSError as error:
            raise StateError(f"{path} can't be locked: {(error.strerror or 'unknown').lower()}.") from error
        else:
            return
