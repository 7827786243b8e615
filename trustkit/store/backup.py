"""A copy of a service's database in a file, of one moment, while others write to it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from trustkit.errors import Conflict, StateError
from trustkit.folders import sync_folder
from trustkit.store.connections import BUSY_SECONDS
from trustkit.store.foreign import MAPPED
from trustkit.store.privatefile import private_file


@contextmanager
def copied(source: Path, target: Path) -> Iterator[Path]:
    """Copies the database to a file that becomes ``target`` once the block has ended without an error.

    SQLite copies one moment of it, and no writer waits for that.  The copy is one file (no WAL beside it), 0600, and
    SQLite has found it sound.  Whoever looks into it meanwhile leaves it as it is.

    Args:
        target: doesn't exist; its folder does.

    Raises:
        Conflict: there is something at ``target``, which stays as it is.
        StateError: the database can't be read, the copy can't be written, or isn't sound.
    """
    if os.path.lexists(target):
        raise _exists(target)
    with _scratch(target) as folder:
        copy = folder / "trustkit.db"
        private_file(copy)
        _copy(source, copy)
        yield copy
        _settle(copy)
        _name(copy, target)


@contextmanager
def _scratch(target: Path) -> Iterator[Path]:
    """A folder of our own beside the target, on the same file system; gone afterwards."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise StateError(
            f"{target} can't be written: {error.strerror}.", hint="Name a folder that is there."
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _copy(source: Path, copy: Path) -> None:
    with (
        MAPPED,
        closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY_SECONDS)) as here,
        closing(sqlite3.connect(copy)) as there,
    ):
        here.backup(there)  # in one step: every page is of the same moment
        there.execute("PRAGMA journal_mode=DELETE")
        found = [row[0] for row in there.execute("PRAGMA integrity_check")]
        loose = there.execute("PRAGMA foreign_key_check").fetchone()
    if found != ["ok"] or loose:
        raise StateError(
            f"The copy of {source} is damaged, and so is the database, or the disk: {found[0][:200]}.",
            hint="Keep the backups that you have, and look after the disk first.",
        )


def _settle(copy: Path) -> None:
    with MAPPED, closing(sqlite3.connect(copy)) as there:
        there.execute("PRAGMA journal_mode=DELETE")
    with copy.open("rb") as file:
        os.fsync(file.fileno())


def _name(copy: Path, target: Path) -> None:
    try:
        target.hardlink_to(copy)
        sync_folder(target.parent)
    except FileExistsError:
        raise _exists(target) from None
    except OSError as error:
        raise StateError(f"{target} can't be written: {error.strerror}.") from error


def _exists(target: Path) -> Conflict:
    return Conflict(f"{target} is there already.", hint="Name another file; a backup replaces nothing.")
