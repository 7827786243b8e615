"""The one place where errors of psycopg and of a PostgreSQL server become ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors

from trustkit.errors import Conflict, DatabaseUnavailable, StateError, TrustkitError

AGAIN = "The service goes on by itself once the database does; try again then."

_KNOWN: tuple[tuple[type[psycopg.Error], type[StateError], str, str], ...] = (
    (errors.RestrictViolation, StateError, "The database refuses to change what is kept for good.", ""),
    (
        errors.LockNotAvailable,
        DatabaseUnavailable,
        "The database was busy for too long.",
        "Another process holds what this changes; try again, and look for one that hangs.",
    ),
    (errors.DeadlockDetected, DatabaseUnavailable, "The database was busy for too long.", "Try again."),
    (errors.QueryCanceled, DatabaseUnavailable, "The database took too long.", "Try again, and look at its load."),
    (
        errors.IdleInTransactionSessionTimeout,
        DatabaseUnavailable,
        "The change took too long, and was given up.",
        "Look at what keeps this machine, or the signer, from going on.",
    ),
    (errors.TooManyConnections, DatabaseUnavailable, "The database has no connection left for this service.", AGAIN),
    (
        errors.DiskFull,
        StateError,
        "The database can't grow: its disk is full.",
        "Make room and try again; nothing was changed.",
    ),
    (
        errors.ReadOnlySqlTransaction,
        DatabaseUnavailable,
        "The database takes no changes: it is a standby, or set to be read only.",
        "Name the primary in its URL.",
    ),
    (
        errors.InsufficientPrivilege,
        StateError,
        "The database doesn't let this service's user do that.",
        "Let it own the tables; see the how-to of PostgreSQL.",
    ),
    (
        errors.UndefinedTable,
        StateError,
        "The database doesn't have this version's tables.",
        "Type: trustkit db check",
    ),
    (
        errors.UndefinedColumn,
        StateError,
        "The database doesn't have this version's tables.",
        "Type: trustkit db check",
    ),
    (errors.AdminShutdown, DatabaseUnavailable, "The database is being stopped.", AGAIN),
    (errors.CrashShutdown, DatabaseUnavailable, "The database server broke down.", AGAIN),
    (errors.CannotConnectNow, DatabaseUnavailable, "The database is being started or stopped.", AGAIN),
    (errors.DataError, StateError, "The database can't hold a value as long, or as odd, as this one.", ""),
)
"""By the server's SQLSTATE; the first class that an error is an instance of decides."""


@contextmanager
def mapped() -> Iterator[None]:
    """Maps what psycopg raises: a row that is there already to Conflict, everything else to StateError."""
    try:
        yield
    except psycopg.Error as error:
        raise ours(error) from error
    except OSError as error:
        raise DatabaseUnavailable("The database can't be reached.", hint=AGAIN) from error


def ours(error: psycopg.Error) -> TrustkitError:
    """What an error of psycopg becomes."""
    for kind, leaf, message, hint in _KNOWN:
        if isinstance(error, kind):
            return leaf(message, hint=hint)
    if isinstance(error, psycopg.IntegrityError):
        return Conflict("The database holds a row of this name already.")
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return DatabaseUnavailable("The connection to the database broke.", hint=AGAIN)
    return StateError(f"The database failed: {type(error).__name__}.")


def reason(error: BaseException) -> str:
    """Why no connection came about, in libpq's words, which name no password; for who runs the service."""
    text = str(error).split("failed: ")[-1].strip() or type(error).__name__
    return " ".join(text.splitlines()[0].split()).removeprefix("FATAL: ").rstrip(".?")[:300]
