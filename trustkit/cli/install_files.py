"""Executables that ``trustkit install`` makes: put there whole, and nobody else's file touched."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from trustkit.cli.output import note
from trustkit.errors import Conflict, NotFound, StateError


def put(path: Path, script: str, *, hint: str = "Run it as root.", mode: int = 0o755) -> None:
    """Puts it there in one step, and never anything else: what runs files of that folder runs whatever lies there.

    Args:
        hint: the next step where it can't be written.

    Raises:
        StateError: it can't be written, or everybody may write in its folder, and so put something else there.
    """
    from trustkit.folders import make_folder, sync_folder
    from trustkit.home.files import write_atomically

    try:
        make_folder(path.parent, 0o755)
        if path.parent.stat().st_mode & stat.S_IWOTH:
            raise StateError(
                f"The folder {path.parent} can be written by every user of this machine, and what lies there is run.",
                hint=f"See that nobody has put anything there, then run: chmod o-w {path.parent}",
            )
        with tempfile.TemporaryDirectory(prefix=".trustkit-", dir=path.parent.parent) as folder:
            made = Path(folder, path.name)
            write_atomically(made, script.encode(), mode=mode)
            made.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise StateError(f"{path} can't be written: {error.strerror}.", hint=hint) from error


def warn_of_others(*paths: Path | None) -> None:
    """Says which of these belong to another user than who installs: sudo may keep the home of who typed it."""
    for path in paths:
        if path is not None and path.exists() and path.stat().st_uid not in (0, os.geteuid()):
            note(f"Warning: {path} belongs to another user, who can say there what is trusted.")


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
