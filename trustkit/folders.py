"""Folders of ours: made with the rights that they are to have, those above them included, and on the disk."""

from __future__ import annotations

import os
from pathlib import Path


def make_folder(path: Path, mode: int = 0o700) -> None:
    """As ``Path.mkdir`` with parents, which would leave those to the umask; raises OSError."""
    try:
        path.mkdir(mode=mode, exist_ok=True)
    except FileNotFoundError:
        make_folder(path.parent, mode)
        path.mkdir(mode=mode, exist_ok=True)


def sync_folder(path: Path) -> None:
    """Puts a folder's names on the disk, so that a rename in it survives a power failure; raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
