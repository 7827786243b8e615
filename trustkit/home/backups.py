"""When each key was last backed up: ``backups.json``, for reminders only.

No trust hangs on it.  A file that is missing or damaged means that nobody knows of a backup, which reminds of one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from trustkit.core import strictjson
from trustkit.errors import StateError, TrustkitError
from trustkit.home.files import read_bounded, write_atomically
from trustkit.home.locks import exclusive

SCHEMA = 1
MAX_FILE = 4 * 1024 * 1024
TIME = "%Y-%m-%dT%H:%M:%SZ"
_KEY_ID = re.compile(r"[0-9a-f]{64}\Z")


class BackupTimes:
    """The times at which keys were last backed up, in UTC and whole seconds.

    Args:
        path: the file; it need not exist.  Its lock file lies beside it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = path.with_name(f".{path.name}.lock")

    def __repr__(self) -> str:
        return f"BackupTimes({str(self._path)!r})"

    def times(self) -> Mapping[str, datetime]:
        """The time for each key that was ever backed up, by id; empty where the file is missing or damaged."""
        try:
            data = read_bounded(self._path, MAX_FILE)
            return _read(data) if data is not None else {}
        except (StateError, ValueError):
            return {}

    def mark(self, key_ids: Iterable[str], at: datetime) -> None:
        """Notes that these keys are in a backup of that time; a later time that is there already stays.

        Raises:
            StateError: the file can't be written.
        """
        moment = at.astimezone(UTC).replace(microsecond=0)
        with exclusive(self._lock):
            known = dict(self.times())
            known.update({key_id: max(moment, known.get(key_id, moment)) for key_id in key_ids})
            keys = {key_id: time.strftime(TIME) for key_id, time in known.items()}
            write_atomically(self._path, strictjson.serialise({"version": SCHEMA, "keys": keys}) + b"\n")


def _read(data: bytes) -> Mapping[str, datetime]:
    try:
        document = strictjson.parse(data, max_bytes=MAX_FILE, what="backups.json")
    except TrustkitError as error:
        raise ValueError(error.message) from error
    keys = document.get("keys")
    if document.get("version") != SCHEMA or not isinstance(keys, dict):
        raise ValueError("another version of trustkit wrote it")
    if not all(_KEY_ID.match(key_id) and isinstance(time, str) for key_id, time in keys.items()):
        raise ValueError("an entry is none")
    return {key_id: datetime.strptime(time, TIME).replace(tzinfo=UTC) for key_id, time in keys.items()}
