"""``trustkit db backup``: the database and the images, while the service runs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trustkit.cli import output
from trustkit.errors import StateError

if TYPE_CHECKING:
    from trustkit.authority.wholeness import Whole

REGISTRY = "registry"


@click.command("backup")
@click.option(
    "--data-dir",
    required=True,
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="The service's data folder.",
)
@click.option(
    "--to",
    "target",
    required=True,
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The new file, 0600; one that is there is never replaced.",
)
@click.option(
    "--images",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="A folder for the images as well; what it has from a backup before is not copied again.",
)
def backup(data_dir: Path, target: Path, images: Path | None) -> None:
    """Copy a database in a file, of one moment, while the service goes on; then check the copy.

    The copy opens nothing without the key-encryption key, which isn't in it: keep that elsewhere.

    \b
    Example:
      trustkit db backup --data-dir /var/lib/trustkit --to /backup/trustkit.db
    """
    registry, target = data_dir / REGISTRY, target.absolute()
    if images is not None and not registry.is_dir():
        raise StateError(
            f"There are no images in {data_dir}: they are at its upstream.", hint="Back that up, after this."
        )
    found = asyncio.run(_back_up(_file(data_dir), target))
    output.data(f"{target}: collections that verify: {found.good}")
    for gun, why in found.bad.items():
        output.note(f"{gun} doesn't verify: {why}")
    if images is not None:
        from trustkit.gateway.backup import copy_images

        copied = copy_images(registry, images.absolute())
        output.data(f"{images}: repositories: {copied.repositories}; new blobs: {copied.blobs}, {copied.size} bytes")
    if found.bad:
        raise StateError(
            f"{len(found.bad)} collections don't verify as they are stored; the backup is as good as the database.",
            hint="Keep the backups that you have, and find out what has changed the database.",
        )


def _file(data_dir: Path) -> Path:
    from trustkit.server.database import DatabaseSource

    database = DatabaseSource().of(data_dir.absolute())
    if not isinstance(database.where, Path):
        raise StateError(
            "The database is PostgreSQL, which has tools for this.", hint="Type: pg_dump --format=custom --file FILE"
        )
    if not database.exists:
        raise StateError(f"There is no database {database.where}.", hint="Correct --data-dir.")
    return database.where


async def _back_up(database: Path, target: Path) -> Whole:
    from trustkit.authority.wholeness import look_at_all
    from trustkit.cli.admin_service import now
    from trustkit.store.backup import copied
    from trustkit.store.database import SqlStore

    with copied(database, target) as copy:
        store = await SqlStore.open(copy)
        try:
            return await look_at_all(store, clock=now)
        finally:
            await store.close()
