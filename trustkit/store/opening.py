"""Opening whichever database a setting names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from trustkit.core.ports.service import Store
from trustkit.errors import InvalidSetting

if TYPE_CHECKING:  # loaded where one is used: SQLite needs no psycopg
    from trustkit.store.postgres.address import Address


class OpenStore(Store, Protocol):
    """A store that somebody has to close."""

    async def close(self) -> None:
        """Closes every connection; the store can't be used afterwards."""
        ...


async def open_store(where: Path | str | Address) -> OpenStore:
    """The store in a file, or at a URL ``sqlite:///FILE`` or ``postgresql://...``.

    Raises:
        InvalidSetting: a URL of another kind, or a part of the program that isn't installed.
        StateError: as ``SqlStore.open`` and ``PostgresStore.open``.
    """
    if isinstance(where, Path | str) and not str(where).startswith(("postgresql:", "postgres:")):
        from trustkit.store.database import SqlStore

        return await SqlStore.open(where)
    try:
        from trustkit.store.postgres.address import Address
        from trustkit.store.postgres.store import PostgresStore
    except ImportError as error:
        raise InvalidSetting(
            "A database of PostgreSQL needs psycopg, which isn't installed.",
            hint="pip install 'trustkit[server,postgresql]'",
        ) from error
    return await PostgresStore.open(where if isinstance(where, Address) else Address.parse(str(where)))
