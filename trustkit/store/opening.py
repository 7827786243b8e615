"""Opening whichever database a setting names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from trustkit.core.ports.changes import Changes
from trustkit.core.ports.failures import Failures
from trustkit.core.ports.service import Store
from trustkit.errors import InvalidSetting

if TYPE_CHECKING:  # loaded where one is used: SQLite needs no psycopg
    from trustkit.store.postgres.address import Address


class OpenStore(Store, Changes, Protocol):
    """A store that somebody has to close, and that tells of commits."""

    @property
    def failures(self) -> Failures | None:
        """Where failed logins are counted for all replicas; None where there is one process alone."""
        ...

    async def close(self) -> None:
        """Closes every connection; the store can't be used afterwards."""
        ...


async def open_store(where: Path | str | Address, *, lasting: bool = False) -> OpenStore:
    """The store in a file, or at a URL ``sqlite:///FILE`` or ``postgresql://...``.

    Args:
        lasting: as ``SqlStore.open``.

    Raises:
        InvalidSetting: a URL of another kind, or a part of the program that isn't installed.
        StateError: as ``SqlStore.open`` and ``PostgresStore.open``.
    """
    if isinstance(where, Path) or (isinstance(where, str) and not is_postgres(where)):
        from trustkit.store.database import SqlStore

        return await SqlStore.open(where, lasting=lasting)
    address = postgres_address(where) if isinstance(where, str) else where
    from trustkit.store.postgres.store import PostgresStore

    return await PostgresStore.open(address)


def sqlite_file(url: str) -> Path:
    """The file of a URL ``sqlite:///FILE``; raises InvalidSetting for another one."""
    from trustkit.store.database import file_of

    return file_of(url)


def is_postgres(url: str) -> bool:
    """Whether a URL is of PostgreSQL, right or wrong."""
    return url.startswith(("postgresql:", "postgres:"))


def postgres_address(url: str, password_file: Path | None = None, *, unsafe_plain: bool = False) -> Address:
    """As ``Address.parse``; raises InvalidSetting where psycopg isn't installed."""
    try:
        from trustkit.store.postgres.address import Address
    except ImportError as error:
        raise InvalidSetting(
            "A database of PostgreSQL needs psycopg, which isn't installed.",
            hint="pip install 'trustkit[server,postgresql]'",
        ) from error
    return Address.parse(url, password_file=password_file, unsafe_plain=unsafe_plain)
