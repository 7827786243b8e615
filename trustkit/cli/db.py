"""``trustkit db``: the tables of a service's database, and its way from a file to PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trustkit.cli.database_options import access_options, database_options, database_source
from trustkit.cli.db_backup import backup
from trustkit.cli.output import data, note
from trustkit.errors import StateError, UsageError

if TYPE_CHECKING:
    from trustkit.core.ports.service import Store
    from trustkit.server.database import Database
    from trustkit.store.postgres.address import Address

_data_dir = click.option(
    "--data-dir", type=click.Path(path_type=Path, file_okay=False), help="The service's data folder."
)


def _both_ends(target: str) -> Callable[[Callable[[Path, Database], None]], Callable[..., None]]:
    """The options of what goes from a file to PostgreSQL, which is called with both.

    Args:
        target: what --to is.
    """

    def take(act: Callable[[Path, Database], None]) -> Callable[..., None]:
        @click.option("--from", "source", required=True, metavar="URL", help="The database to copy: sqlite:///FILE.")
        @click.option("--to", "target", required=True, metavar="URL", help=target)
        @access_options
        @wraps(act)
        def command(
            source: str, target: str, database_password_file: Path | None, *, unsafe_plain_database: bool
        ) -> None:
            act(*_ends(source, target, database_password_file, unsafe_plain=unsafe_plain_database))

        return command

    return take


@click.group("db")
def command() -> None:
    """The database of a service: its tables, and its way to PostgreSQL."""


@command.command("check")
@_data_dir
@database_options
def check(
    data_dir: Path | None,
    database: str | None,
    database_password_file: Path | None,
    *,
    unsafe_plain_database: bool,
) -> None:
    """Say whether this version serves the tables, and whether every collection verifies. Changes nothing.

    \b
    Example:
      trustkit db check --data-dir /var/lib/trustkit
    """
    found = _database(data_dir, database, database_password_file, unsafe_plain=unsafe_plain_database)
    revision, ours, words = asyncio.run(_revision(found))
    data(f"tables: {revision or 'none'}; this version: {ours}")
    if words:
        raise StateError(words, hint="Type: trustkit db upgrade" if not revision or revision < ours else "")
    asyncio.run(_collections(found))


@command.command("upgrade")
@_data_dir
@database_options
def upgrade(
    data_dir: Path | None,
    database: str | None,
    database_password_file: Path | None,
    *,
    unsafe_plain_database: bool,
) -> None:
    """Bring the tables to this version, all or nothing; replicas of the version before go on serving.

    \b
    Example:
      trustkit db upgrade --data-dir /var/lib/trustkit
    """
    found = _database(data_dir, database, database_password_file, unsafe_plain=unsafe_plain_database)
    before, ours, words = asyncio.run(_revision(found))
    if words and before and before > ours:
        raise StateError(words)
    if before == ours:
        data(f"tables: {ours} already")
        return
    asyncio.run(_upgrade(found))
    data(f"tables: {before or 'none'} -> {ours}")


@command.command("copy")
@_both_ends("An empty database: postgresql://USER@HOST/DB.")
def copy(path: Path, there: Database) -> None:
    """Copy a service's database from a file to PostgreSQL, compare both, and close the file.

    The service has to be stopped. All or nothing is copied; every collection is verified there.

    \b
    Example:
      trustkit db copy --from sqlite:////srv/trustkit/trustkit.db --to postgresql://trustkit@db.example.com/trustkit
    """
    from trustkit.store.postgres.copying import copy as copied

    rows = copied(path, _address(there), say=lambda table, count: note(f"{table}: {count}"))
    asyncio.run(_collections(there))
    data(f"copied {sum(rows.values())} rows to {_address(there).shown}")
    note(f"The key-encryption key isn't in it: start every replica with --database, and that of {path.parent}.")
    note(f"{path} takes no changes any more. Keep it as a backup.")


@command.command("reopen")
@_both_ends("The database that it was being copied to.")
def reopen(path: Path, there: Database) -> None:
    """Open a file again whose copy was broken off, while nothing of it is in the other database.

    \b
    Example:
      trustkit db reopen --from sqlite:////srv/trustkit/trustkit.db --to postgresql://trustkit@db.example.com/trustkit
    """
    from trustkit.store.postgres.copying import open_again

    open_again(path, _address(there))
    data(f"{path} is open again")


@command.command("compact")
@_data_dir
@database_options
def compact(
    data_dir: Path | None,
    database: str | None,
    database_password_file: Path | None,
    *,
    unsafe_plain_database: bool,
) -> None:
    """Give the room back to the disk that pruning has freed in a file of SQLite. The service has to be stopped.

    \b
    Example:
      trustkit db compact --data-dir /var/lib/trustkit
    """
    from trustkit.store.compact import compact as compacted

    found = _database(data_dir, database, database_password_file, unsafe_plain=unsafe_plain_database)
    if not isinstance(found.where, Path):
        raise UsageError("PostgreSQL's autovacuum does this by itself.", hint="Nothing is to be done.")
    before, after = compacted(found.where)
    data(f"{found.where}: {before} -> {after} bytes")


def _database(data_dir: Path | None, url: str | None, password_file: Path | None, *, unsafe_plain: bool) -> Database:
    source = database_source(url, password_file, unsafe_plain=unsafe_plain)
    if data_dir is None and not source.url:
        raise UsageError("Which database?", hint="Give --data-dir or --database, or set TRUSTKIT_DATABASE.")
    found = source.of((data_dir or Path()).absolute())
    if not found.exists:
        raise StateError(f"There is no database {found.where}.", hint="Correct --data-dir.")
    return found


def _ends(source: str, target: str, password_file: Path | None, *, unsafe_plain: bool) -> tuple[Path, Database]:
    from trustkit.store.opening import sqlite_file

    there = database_source(target, password_file, unsafe_plain=unsafe_plain).of(Path().absolute())
    if not there.shared:
        raise UsageError("A database is copied to PostgreSQL only.", hint="--to postgresql://USER@HOST/DATABASE")
    return sqlite_file(source), there


def _address(database: Database) -> Address:
    if isinstance(database.where, Path):
        raise UsageError("A database is copied to PostgreSQL only.")
    return database.where


async def _revision(database: Database) -> tuple[str | None, str, str]:
    """The revision of the tables, this version's, and why this version can't serve them; empty for it can."""
    from trustkit.store.upgrade import REVISION, revision_of

    if isinstance(database.where, Path):
        found = revision_of(database.where)
        return found, REVISION, "" if found == REVISION else f"The tables are of another version ({found})."
    from trustkit.store.postgres.tables import require, tables_of

    tables = await tables_of(database.where)
    try:
        require(tables)
    except StateError as error:
        return tables.revision, REVISION, error.message
    return tables.revision, REVISION, ""


async def _upgrade(database: Database) -> None:
    if isinstance(database.where, Path):
        await (await database.open()).close()
        return
    from trustkit.store.postgres.tables import migrate

    await asyncio.to_thread(migrate, database.where)


async def _collections(database: Database) -> None:
    from trustkit.authority.wholeness import look_at_all
    from trustkit.cli.admin_service import now

    store: Store
    store = opened = await database.open()
    try:
        found = await look_at_all(store, clock=now)
    finally:
        await opened.close()
    data(f"collections that verify: {found.good}")
    for gun, why in found.bad.items():
        note(f"{gun} doesn't verify: {why}")
    if found.bad:
        raise StateError(
            f"{len(found.bad)} collections don't verify as they are stored.",
            hint="They didn't before a copy either, whose rows were compared; restore them from a backup.",
        )


command.add_command(backup)
