"""The key-encryption key: one file outside the database and its backups (TRUST 8.5)."""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import stat
from pathlib import Path

from trustkit.errors import StateError
from trustkit.store.privatefile import PRIVATE, locked, private_folder, sync_folder

KEK_BYTES = 32
_MAX_FILE = 4096


def load_kek(path: Path, *, create: bool = True) -> bytes:
    """The 32 bytes of the key-encryption key; made, 0600 and fsynced, where there is no file yet.

    Args:
        path: a file holding the key in base64, one line.
        create: make a new key where there is none; otherwise its absence is an error.

    Raises:
        StateError: missing, readable by others, or not 32 bytes of base64.
    """
    private_folder(path.parent)
    with locked(path.with_name(path.name + ".lock")):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            if not create:
                raise StateError(f"There is no key-encryption key at {path}.", hint="Restore it.") from None
            return _make(path)
        except OSError as error:
            raise StateError(f"{path} can't be read: {error.strerror}.") from error
        try:
            return _read(path, descriptor)
        finally:
            os.close(descriptor)


def _read(path: Path, descriptor: int) -> bytes:
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        raise StateError(f"The key-encryption key {path} is not a regular file.")
    if mode & 0o077:
        raise StateError(
            f"The key-encryption key {path} can be read by others.",
            hint="Find out who read it, then: chmod 600. If in doubt, rotate every online key.",
        )
    try:
        key = base64.b64decode(os.read(descriptor, _MAX_FILE).strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEK_BYTES:
        raise StateError(f"{path} is not a key-encryption key.", hint="It has 32 bytes in base64, one line.")
    return key


def _make(path: Path) -> bytes:
    """Writes beside, fsyncs, links: a crash leaves a whole key or none, and an existing one is never replaced."""
    key = secrets.token_bytes(KEK_BYTES)
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE)
        try:
            os.write(descriptor, base64.b64encode(key) + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        path.hardlink_to(beside)
        beside.unlink()
        sync_folder(path.parent)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise StateError(f"The key-encryption key {path} can't be written: {error.strerror}.") from error
    return key
