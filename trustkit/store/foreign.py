"""The one place where errors of SQLAlchemy and of the database's driver become ours."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from trustkit.errors import Conflict, StateError, TrustkitError

_BUSY = (
    "database is locked",
    "The database was busy for too long.",
    "Another process holds it; try again, and look for one that hangs.",
)
_KNOWN: tuple[tuple[str, str, str], ...] = (
    _BUSY,
    (
        "disk is full",
        "The database can't grow: the disk is full.",
        "Make room and try again; nothing was changed.",
    ),
    (
        "not a database",
        "The database file is damaged or no database.",
        "Restore it from a backup; don't delete it, it holds versions that must not be used twice.",
    ),
    (
        "malformed",
        "The database file is damaged.",
        "Restore it from a backup; don't delete it, it holds versions that must not be used twice.",
    ),
    ("readonly", "The database can't be written.", "Check who owns its file and folder."),
    ("unable to open", "The database can't be opened.", "Check who owns its file and folder."),
    (
        "moved to another database",
        "This database was copied to PostgreSQL, and takes no changes any more.",
        "Start the service with --database.",
    ),
    ("append-only", "The database refuses to change what is kept for good.", ""),
)
"""A part of the driver's message, and what we say; SQLite gives no better codes through the driver."""


class _Mapped:
    """Entered at each statement, and so without a generator for each."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, IntegrityError | sqlite3.IntegrityError):
            raise _known(str(getattr(error, "orig", error))) or Conflict(
                "The database holds a row of this name already."
            ) from error
        if isinstance(error, SQLAlchemyError | sqlite3.Error):
            text = str(getattr(error, "orig", None) or error)
            raise _known(text) or StateError(f"The database failed: {type(error).__name__}.") from error
        if isinstance(error, OSError):
            raise StateError(f"The database can't be used: {error.strerror or type(error).__name__}.") from error


MAPPED = _Mapped()
"""Maps what the database raises: IntegrityError to Conflict, everything else to StateError."""


def is_busy(error: StateError) -> bool:
    """Whether it says that another process held the database."""
    return error.message == _BUSY[1]


def _known(text: str) -> TrustkitError | None:
    for part, message, hint in _KNOWN:
        if part in text:
            return StateError(message, hint=hint)
    return None
