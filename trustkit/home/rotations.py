"""Rotations that were begun and not ended: ``rotations.json``, so that an interrupted one goes on with its key.

No trust hangs on it: whoever loses the file makes another new key.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from trustkit.core import strictjson
from trustkit.core.names import Gun
from trustkit.core.ports.rotation import Begun
from trustkit.errors import StateError, TrustkitError
from trustkit.home.files import read_bounded, write_atomically
from trustkit.home.locks import exclusive

SCHEMA = 1
MAX_FILE = 4 * 1024 * 1024
_KEY_ID = re.compile(r"[0-9a-f]{64}\Z")
_TEXTS = ("gun", "role", "old", "new")


class FileRotations:
    """The ``Rotations`` of one TRUSTKIT_HOME.

    Args:
        path: the file; it need not exist.  Its lock file lies beside it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = path.with_name(f".{path.name}.lock")

    def __repr__(self) -> str:
        return f"FileRotations({str(self._path)!r})"

    def begun(self, gun: Gun, role: str) -> Begun | None:
        """The rotation of a role that was begun and not ended; raises StateError where the file is damaged."""
        return self._load().get((gun, role))

    def begin(self, rotation: Begun, *, seen: Begun | None) -> Begun:
        """Notes a rotation, on disk when this returns, unless something else than ``seen`` is noted by now.

        Returns:
            What is noted now.

        Raises:
            StateError: the file is damaged or can't be written.
        """
        with exclusive(self._lock):
            known = self._load()
            there = known.get((rotation.gun, rotation.role))
            if there is not None and there != seen:
                return there
            self._save({**known, (rotation.gun, rotation.role): rotation})
        return rotation

    def end(self, gun: Gun, role: str) -> None:
        """Forgets a rotation; raises StateError."""
        with exclusive(self._lock):
            known = self._load()
            if known.pop((gun, role), None) is not None:
                self._save(known)

    def _load(self) -> dict[tuple[Gun, str], Begun]:
        data = read_bounded(self._path, MAX_FILE)
        if data is None:
            return {}
        try:
            document = strictjson.parse(data, max_bytes=MAX_FILE, what=self._path.name)
            if document.get("version") != SCHEMA or not isinstance(document.get("rotations"), list):
                raise ValueError("another version of trustkit wrote it")
            return {(entry.gun, entry.role): entry for entry in map(_read, document["rotations"])}
        except (TrustkitError, ValueError) as error:
            raise StateError(
                f"{self._path} can't be read: {getattr(error, 'message', error)}.",
                hint="Move it away; a rotation that was interrupted then begins with another new key.",
            ) from error

    def _save(self, known: dict[tuple[Gun, str], Begun]) -> None:
        entries = [
            {
                "gun": str(entry.gun),
                "role": entry.role,
                "old": entry.old,
                "new": entry.new,
                "version": entry.version,
            }
            for _, entry in sorted(known.items(), key=lambda item: (str(item[0][0]), item[0][1]))
        ]
        write_atomically(self._path, strictjson.serialise({"version": SCHEMA, "rotations": entries}) + b"\n")


def _read(entry: Any) -> Begun:
    if not isinstance(entry, dict) or entry.keys() != {*_TEXTS, "version"} or type(entry["version"]) is not int:
        raise ValueError("an entry has other members than it should")
    if not all(isinstance(entry[name], str) for name in _TEXTS):
        raise ValueError("an entry has a member of the wrong type")
    if not _KEY_ID.match(entry["old"]) or not _KEY_ID.match(entry["new"]):
        raise ValueError("an entry names no key")
    return Begun(Gun.parse(entry["gun"]), entry["role"], entry["old"], entry["new"], entry["version"])
