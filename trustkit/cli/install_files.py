"""Executables that ``trustkit install`` makes: put there whole, and nobody else's file touched."""

from __future__ import annotations

import tempfile
from pathlib import Path

from trustkit.errors import Conflict, NotFound, StateError


def put(path: Path, script: str, *, hint: str = "Run it as root.", mode: int = 0o755) -> None:
    """Puts it there in one step, and never anything else: what runs files of that folder runs whatever lies there.

    Args:
        hint: the next step where it can't be written.
    """
    from trustkit.home.files import sync_folder, write_atomically

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".trustkit-", dir=path.parent.parent) as folder:
            made = Path(folder, path.name)
            write_atomically(made, script.encode(), mode=mode)
            made.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise StateError(f"{path} can't be written: {error.strerror}.", hint=hint) from error


def take_away(path: Path) -> None:
    """Removes it.

    Raises:
        NotFound: it isn't there.
        StateError: it can't be removed.
    """
    try:
        path.unlink()
    except FileNotFoundError as error:
        raise NotFound(f"There is no {path}.") from error
    except OSError as error:
        raise StateError(f"{path} can't be removed: {error.strerror}.") from error


def check_ours(path: Path, mark: str, option: str) -> None:
    """Raises where something is there that trustkit didn't make.

    Args:
        mark: the line that stands in what trustkit made.
        option: what chooses another folder.

    Raises:
        Conflict: it is somebody else's.
        StateError: it can't be read.
    """
    try:
        ours = not path.exists() or mark in path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise StateError(f"{path} can't be read: {error.strerror}.") from error
    if not ours:
        raise Conflict(
            f"{path} is there, and trustkit didn't make it.", hint=f"Move it away, or choose another {option}."
        )
