"""A listening socket at a path, put there in one step, so that there is no moment without one."""

from __future__ import annotations

import os
import secrets
import socket
import stat
from contextlib import suppress
from pathlib import Path

from trustkit.errors import Conflict, InvalidSetting, StateError

MODE = 0o660
_LONGEST = 107 - len(".12345678")


class UnixSocket:
    """A unix socket that listens at ``path``, for this user and the folder's group (0660).

    Whatever socket was there before is replaced in one step: who connects reaches the old one or the new one.

    Raises:
        InvalidSetting: a path that is too long for a socket.
        Conflict: something else than a socket is there.
        StateError: a folder that isn't there, or where others may write.
    """

    def __init__(self, path: Path, *, backlog: int) -> None:
        self._path = path
        if len(os.fsencode(path)) > _LONGEST:
            raise InvalidSetting(f"{path} is too long for a socket: {_LONGEST} bytes at most.")
        _check(path)
        beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o777 & ~MODE)
        try:
            self.socket.bind(str(beside))
            self.socket.listen(backlog)
            self.socket.setblocking(False)
            self._inode = beside.stat().st_ino
            beside.replace(path)
        except OSError as error:
            self.socket.close()
            beside.unlink(missing_ok=True)
            raise StateError(f"Can't listen at {path}: {error.strerror or error}.") from error
        finally:
            os.umask(before)

    def close(self) -> None:
        """Ends it, and takes the path away unless another has taken it over."""
        self.socket.close()
        with suppress(OSError):
            if self._path.lstat().st_ino == self._inode:
                self._path.unlink()


def _check(path: Path) -> None:
    try:
        folder = path.parent.stat()
        found = path.lstat() if os.path.lexists(path) else None
    except OSError as error:
        raise StateError(f"Can't listen at {path}: {error.strerror}.", hint="Make its folder first.") from error
    if folder.st_mode & stat.S_IWOTH:
        raise StateError(
            f"Others may write to {path.parent}, so no socket is put there.", hint="Name one in a folder of its own."
        )
    if found is not None and not stat.S_ISSOCK(found.st_mode):
        raise Conflict(f"{path} is there, and is no socket.", hint="Move it away, or name another path.")
