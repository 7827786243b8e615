"""Folders and files that are ours alone, and writes that happen whole or not at all."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from trustkit.errors import InvalidSetting, StateError
from trustkit.folders import make_folder, sync_folder

FILE_MODE = 0o600
NOBODY = 65534
"""Whom the kernel shows where a container has no name for an owner (``overflowuid``)."""


def user_path(text: str, origin: str) -> Path:
    """An absolute path, as a person writes it: ``~`` and ``~name`` are home folders.

    Args:
        origin: the option or variable that it came from.

    Raises:
        InvalidSetting: the home folder of nobody.
    """
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError as error:
        raise InvalidSetting(f"{origin} names {text[:100]!a}, which is nobody's home folder.") from error


def private_folder(path: Path) -> Path:
    """Makes a folder, and those above it, 0700 where they don't exist.

    Raises:
        StateError: it can't be made, is no folder, anybody may write in it, or it lies in a folder, or is one, of
            another user than this one and root; root itself may use whosever it is told to.
    """
    try:
        make_folder(path)
        found, above = path.stat(), _foreign_above(path)
    except OSError as error:
        raise StateError(
            f"The folder {path} can't be used: {_why(error)}.",
            hint="Make it usable, or name another folder (keys, pins and cache: --home DIR or TRUSTKIT_HOME).",
        ) from error
    if found.st_mode & stat.S_IWOTH:
        raise StateError(
            f"The folder {path} can be written by every user of this machine.", hint=f"Run: chmod go-w {path}"
        )
    if os.geteuid() not in (found.st_uid, 0) and found.st_uid != 0:
        raise StateError(
            f"The folder {path} belongs to another user, who could say here whom to trust.",
            hint="Name one of your own: --home DIR or TRUSTKIT_HOME.",
        )
    if above is not None:
        raise StateError(
            f"The folder {path} lies in {above}, which belongs to another user, who could put another in its place.",
            hint="Name one below a folder of your own: --home DIR or TRUSTKIT_HOME.",
        )
    return path


def _foreign_above(path: Path) -> Path | None:
    """A folder on the way, as it is written or as links lead, of another user than this one and root."""
    ours = (os.geteuid(), 0, NOBODY)
    if ours[0] == 0:
        return None
    above = (*path.absolute().parents, *path.resolve().parents)
    return next((folder for folder in above if folder.stat().st_uid not in ours), None)


def write_atomically(path: Path, data: bytes, *, mode: int = FILE_MODE) -> None:
    """Replaces a file: afterwards it holds ``data`` and is on disk, or it is as it was.

    A reader sees the old bytes or the new ones.  The file is never readable by more than ``mode`` allows.

    Raises:
        StateError: the folder or disk doesn't let us.
    """
    temporary = ""
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
        temporary = ""
        sync_folder(path.parent)
    except OSError as error:
        raise StateError(f"{path} can't be written: {_why(error)}.", hint="Mend that, and try again.") from error
    finally:
        if temporary:
            with suppress(OSError):  # a disk that has failed may take nothing at all any more
                Path(temporary).unlink(missing_ok=True)


def read_bounded(path: Path, max_bytes: int, *, trusted: bool = False) -> bytes | None:
    """A file's bytes; None where there is none.

    Args:
        trusted: it says whom to trust, so that not everybody may write it.

    Raises:
        StateError: it can't be read, is no file, is longer than ``max_bytes``, or everybody may write it.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(max_bytes + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateError(f"{path} can't be read: {_why(error)}.") from error
    if len(data) > max_bytes:
        raise StateError(f"{path} is longer than {max_bytes} bytes.")
    if trusted and stat.S_ISREG(mode) and mode & stat.S_IWOTH:
        raise StateError(
            f"{path} says whom to trust, and can be written by every user of this machine.",
            hint=f"See that it says what you mean, then run: chmod o-w {path}",
        )
    return data


def _why(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
