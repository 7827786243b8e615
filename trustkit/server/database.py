"""Where a service's database is: a file in its data folder, or PostgreSQL, which the folder remembers."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from trustkit.errors import InvalidSetting, StateError
from trustkit.store.opening import OpenStore, is_postgres, open_store, postgres_address, sqlite_file
from trustkit.store.privatefile import private_folder

if TYPE_CHECKING:
    from trustkit.store.postgres.address import Address

FILE = "trustkit.db"
REMEMBERED = "database.json"
"""What is in the data folder of a service whose database is elsewhere, without a password."""


@dataclass(frozen=True, slots=True)
class DatabaseSource:
    """What was said of the database; nothing for what the data folder says.

    Attributes:
        url: ``sqlite:///FILE`` or ``postgresql://USER@HOST/DATABASE``.
        password_file: has the password of PostgreSQL.
        unsafe_plain: PostgreSQL may be on another machine that TLS doesn't vouch for.
    """

    url: str | None = field(default=None, repr=False)
    password_file: Path | None = None
    unsafe_plain: bool = False

    def of(self, data_dir: Path) -> Database:
        """The database of this data folder.

        Raises:
            InvalidSetting: the URL is of no database that there can be, or something is said of none.
            StateError: what the data folder remembers can't be read.
        """
        source = self if self.url else self._remembered(data_dir)
        if source.url and is_postgres(source.url):
            address = postgres_address(source.url, source.password_file, unsafe_plain=source.unsafe_plain)
            return Database(data_dir, address, source)
        if self.password_file or self.unsafe_plain:
            raise InvalidSetting("A database in a file has no password and no network.", hint="Give --database URL.")
        return Database(data_dir, sqlite_file(source.url) if source.url else data_dir / FILE, source)

    def _remembered(self, data_dir: Path) -> DatabaseSource:
        path = data_dir / REMEMBERED
        try:
            said = json.loads(path.read_text(encoding="utf-8"))
            url, file = str(said["url"]), said.get("password_file")
            plain = self.unsafe_plain or bool(said.get("unsafe_plain"))
        except FileNotFoundError:
            return self
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise StateError(
                f"{path}, which says where the database is, can't be read.", hint="Give --database once more."
            ) from error
        return DatabaseSource(url, self.password_file or (Path(file) if file else None), plain)


@dataclass(frozen=True, slots=True)
class Database:
    """A service's database.

    Attributes:
        where: a file, or PostgreSQL's address.
    """

    data_dir: Path
    where: Path | Address
    source: DatabaseSource = field(repr=False)

    @property
    def shared(self) -> bool:
        """Whether it is PostgreSQL, which other replicas may use."""
        return not isinstance(self.where, Path)

    @property
    def exists(self) -> bool:
        """Whether there is one as far as can be said without asking: PostgreSQL counts as being there."""
        return self.where.exists() if isinstance(self.where, Path) else True

    async def open(self, *, lasting: bool = False) -> OpenStore:
        """Opens it; as ``open_store``."""
        return await open_store(self.where, lasting=lasting)

    def remember(self) -> None:
        """Has the data folder say where the database is, so that ``trustkit admin`` finds it; raises StateError."""
        path = self.data_dir / REMEMBERED
        beside = path.with_suffix(".new")
        try:
            if self.where == self.data_dir / FILE:
                path.unlink(missing_ok=True)
                return
            text = self._text()
            if path.exists() and path.read_text(encoding="utf-8") == text:
                return
            private_folder(self.data_dir)
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file_:
                file_.write(text)
            beside.replace(path)
        except OSError as error:
            raise StateError(f"{path} can't be written: {error.strerror}.") from error

    def _text(self) -> str:
        url, source = self.source.url or "", self.source
        if self.shared:
            from trustkit.store.postgres.address import without_password

            url = without_password(url)
        file = str(source.password_file.absolute()) if source.password_file else None
        document = {"url": url, "password_file": file, "unsafe_plain": source.unsafe_plain}
        return json.dumps(document, indent=2) + "\n"
