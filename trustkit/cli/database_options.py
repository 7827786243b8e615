"""The options that say where a service's database is, and what they come to."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from trustkit.config import DATABASE_PASSWORD_FILE, database
from trustkit.errors import InvalidSetting

if TYPE_CHECKING:
    from trustkit.server.database import DatabaseSource

Command = TypeVar("Command", bound=Callable[..., Any])

_url = click.option(
    "--database", metavar="URL", help="postgresql://USER@HOST/DATABASE, or sqlite:///FILE. [DATA_DIR/trustkit.db]"
)
_password = click.option(
    "--database-password-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file with the password of PostgreSQL.",
)
_plain = click.option(
    "--unsafe-plain-database",
    is_flag=True,
    help="Take a PostgreSQL on another machine that TLS doesn't vouch for.",
)


def database_options(command: Command) -> Command:
    """--database, --database-password-file and --unsafe-plain-database."""
    return _url(access_options(command))


def access_options(command: Command) -> Command:
    """--database-password-file and --unsafe-plain-database."""
    return _password(_plain(command))


def database_source(url: str | None, password_file: Path | None, *, unsafe_plain: bool) -> DatabaseSource:
    """What the options and the environment say of the database; nothing is opened yet.

    Raises:
        InvalidSetting: a password on the command line, where every process of this machine can read it.
    """
    from trustkit.server.database import DatabaseSource
    from trustkit.store.opening import is_postgres, postgres_address

    said = database(url, os.environ)
    file = password_file or _path(os.environ.get(DATABASE_PASSWORD_FILE, "").strip())
    if said.value and is_postgres(said.value):
        postgres_address(said.value, file, unsafe_plain=unsafe_plain)
        from trustkit.store.postgres.address import has_password

        if said.origin == "--database" and has_password(said.value):
            raise InvalidSetting(
                "A password on the command line is everybody's to read on this machine.",
                hint="Put it into a file for --database-password-file, and change it.",
            )
    return DatabaseSource(said.value or None, file, unsafe_plain)


def _path(text: str) -> Path | None:
    return Path(text).absolute() if text else None
