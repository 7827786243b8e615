"""A dump of a notary-server's database as a server of files: one more source that nothing is believed of."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from trustkit.core.formats.docker.files import MAX_BYTES
from trustkit.core.names import Gun
from trustkit.core.records import dataclass
from trustkit.errors import Garbage, InvalidName, NotFound, StateError, TooLarge
from trustkit.remote.dump_rows import COPY, POSTGRES, Row, RowPlace, bytea, is_plain, row_at, rows
from trustkit.remote.updater import Fetch

TABLE = "tuf_files"
COLUMNS = ("id", "created_at", "updated_at", "deleted_at", "gun", "role", "version", "data", "sha256")
"""As notary-server's migrations make the table."""

MOST_ROWS = 2_000_000
_FILE = re.compile(r"(?:([1-9][0-9]{0,9})\.)?([a-z][a-z/0-9_-]*?)(?:\.([0-9a-f]{64}))?\.json\Z")
_VERSION = re.compile(rb"[1-9][0-9]{0,9}\Z")


@dataclass(frozen=True, slots=True)
class _Held:
    """What a dump has of one role, by version and by hash."""

    versions: dict[int, RowPlace]
    hashes: dict[str, RowPlace]


class NotaryDump:
    """The collections in a dump of PostgreSQL, MySQL or MariaDB.

    Args:
        path: a plain dump with the table ``tuf_files``, from which files are read when they are asked for.
        skipped: is told names that no collection of ours can have.

    Raises:
        StateError: the file can't be read.
        Garbage, TooLarge: it is no such dump.
    """

    def __init__(self, path: Path, skipped: Callable[[str], None]) -> None:
        self._path = path
        self._skipped = skipped
        self._lock = Lock()
        self._held: dict[str, dict[str, _Held]] = {}
        try:
            self._file: BinaryIO = path.open("rb")
            if not is_plain(self._file.read(4096)):
                raise Garbage(
                    f"{path} is no plain dump.",
                    hint="Unpack it; of pg_dump -Fc make a plain one: pg_restore -f FILE -t tuf_files ARCHIVE",
                )
            self._file.seek(0)
            self._index()
        except OSError as error:
            raise StateError(f"{path} can't be read: {error.strerror or error}.") from error

    def guns(self) -> Sequence[Gun]:
        """As ``FormerServer.guns``."""
        found = []
        for name in sorted(self._held):
            try:
                found.append(Gun.parse(name))
            except InvalidName:
                self._skipped(name)
        return found

    def fetcher(self, gun: Gun) -> Fetch:
        """Gives files by the names that Notary's API has for them; raises NotFound for what isn't there."""
        return partial(self._fetch, gun)

    def _fetch(self, gun: Gun, name: str, max_length: int) -> bytes:
        found = _FILE.match(name)
        held = self._held.get(str(gun), {}).get(found[2]) if found else None
        if found is None or held is None:
            raise NotFound(f"{self._path} has no {name} of {gun}.")
        if found[3]:
            place = held.hashes.get(found[3])
        else:
            place = held.versions.get(int(found[1]) if found[1] else max(held.versions))
        if place is None:
            raise NotFound(f"{self._path} has no {name} of {gun}.")
        with self._lock:
            data = _data(row_at(self._file, place), place)
        if len(data) > max_length:
            raise Garbage(f"{self._path} has more than the {max_length} bytes that {name} may have.")
        return data

    def _index(self) -> None:
        count = 0
        for place, row in rows(self._file, TABLE, COLUMNS):
            count += 1
            if count > MOST_ROWS:
                raise TooLarge(f"{self._path} has more than {MOST_ROWS:,} files of metadata.")
            self._add(place, row)
        if not count:
            raise Garbage(
                f"{self._path} has no rows of the table {TABLE}.",
                hint=f"Dump it: pg_dump -t {TABLE} DATABASE > FILE, or mysqldump DATABASE {TABLE} > FILE",
            )

    def _add(self, place: RowPlace, row: Row) -> None:
        gun, role, version = (row.get(name) for name in ("gun", "role", "version"))
        if gun is None or role is None or version is None or row.get("deleted_at") is not None:
            return
        if not _VERSION.match(version):
            return
        data = _data(row, place)
        if len(data) > max(MAX_BYTES.values()):
            return
        roles = self._held.setdefault(gun.decode("utf-8", "replace"), {})
        held = roles.setdefault(role.decode("utf-8", "replace"), _Held({}, {}))
        held.versions[int(version)] = place
        held.hashes[hashlib.sha256(data).hexdigest()] = place


def _data(row: Row, place: RowPlace) -> bytes:
    value = row.get("data") or b""
    return bytea(value) if place.form in (COPY, POSTGRES) else value
