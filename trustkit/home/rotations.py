"""Rotations that were begun and not ended: ``rotations.json``, so that an interrupted one goes on with its key.

No trust hangs on it: whoever loses the file makes another new key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from trustkit.core.names import Gun
from trustkit.core.ports.rotation import Begun
from trustkit.home.documents import Document

_KEY_ID = re.compile(r"[0-9a-f]{64}\Z")
Known: TypeAlias = Mapping[tuple[Gun, str], Begun]
_TEXTS = ("gun", "role", "old", "new")


class FileRotations:
    """The ``Rotations`` of one TRUSTKIT_HOME.

    Args:
        path: the file; it need not exist.  Its lock file lies beside it.
    """

    def __init__(self, path: Path) -> None:
        self._file = Document(
            path,
            "rotations",
            read=_read,
            written=_written,
            hint="Move it away; a rotation that was interrupted then begins with another new key.",
        )

    def __repr__(self) -> str:
        return f"FileRotations({str(self._file.path)!r})"

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
        with self._file.changing():
            known = self._load()
            there = known.get((rotation.gun, rotation.role))
            if there is not None and there != seen:
                return there
            self._file.save({**known, (rotation.gun, rotation.role): rotation})
        return rotation

    def end(self, gun: Gun, role: str) -> None:
        """Forgets a rotation; raises StateError."""
        with self._file.changing():
            known = self._load()
            if known.pop((gun, role), None) is not None:
                self._file.save(known)

    def _load(self) -> dict[tuple[Gun, str], Begun]:
        return dict(self._file.load() or {})


def _read(value: Any) -> Known:
    return {(entry.gun, entry.role): entry for entry in map(_read_one, list(value))}


def _written(known: Known) -> Any:
    return [
        {"gun": str(entry.gun), "role": entry.role, "old": entry.old, "new": entry.new, "version": entry.version}
        for _, entry in sorted(known.items(), key=lambda item: (str(item[0][0]), item[0][1]))
    ]


def _read_one(entry: Any) -> Begun:
    if not isinstance(entry, dict) or entry.keys() != {*_TEXTS, "version"} or type(entry["version"]) is not int:
        raise ValueError("an entry has other members than it should")
    if not all(isinstance(entry[name], str) for name in _TEXTS):
        raise ValueError("an entry has a member of the wrong type")
    if not _KEY_ID.match(entry["old"]) or not _KEY_ID.match(entry["new"]):
        raise ValueError("an entry names no key")
    return Begun(Gun.parse(entry["gun"]), entry["role"], entry["old"], entry["new"], entry["version"])
