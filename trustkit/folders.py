"""Folders of ours, made with the rights that they are to have, those above them included."""

from __future__ import annotations

from pathlib import Path


def make_folder(path: Path, mode: int = 0o700) -> None:
    """As ``Path.mkdir`` with parents, which would leave those to the umask; raises OSError."""
    try:
        path.mkdir(mode=mode, exist_ok=True)
    except FileNotFoundError:
        make_folder(path.parent, mode)
        path.mkdir(mode=mode, exist_ok=True)
