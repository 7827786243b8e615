"""What was signed here in root ceremonies: ``ceremonies.json``, so that no key signs two roots of one version.

Whoever shows a holder an old root can have a fork of the collection signed, with what was in force then.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from trustkit.core.names import Gun
from trustkit.home.documents import Document

Last: TypeAlias = tuple[int, str]
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


class SignedRoots:
    """The last root that was signed here of each collection: its version, and the SHA-256 of what was signed.

    Args:
        path: the file; it need not exist.  Its lock file lies beside it.
    """

    def __init__(self, path: Path) -> None:
        self._file = Document(
            path,
            "roots",
            read=_read,
            written=_written,
            hint="It says which roots were signed here; move it away only if you know that yourself.",
        )

    def __repr__(self) -> str:
        return f"SignedRoots({str(self._file.path)!r})"

    def last(self, gun: Gun) -> Last | None:
        """Version and digest; None where none was signed here; raises StateError where the file is damaged."""
        return (self._file.load() or {}).get(gun)

    def note(self, gun: Gun, version: int, digest: str) -> None:
        """Notes what is about to be signed, on disk when this returns; raises StateError."""
        with self._file.changing():
            self._file.save({**(self._file.load() or {}), gun: (version, digest)})


def _read(value: Any) -> Mapping[Gun, Last]:
    return {Gun.parse(name): _read_one(entry) for name, entry in dict(value).items()}


def _written(roots: Mapping[Gun, Last]) -> Any:
    return {str(gun): {"version": version, "sha256": digest} for gun, (version, digest) in roots.items()}


def _read_one(entry: object) -> Last:
    if not isinstance(entry, dict) or entry.keys() != {"version", "sha256"}:
        raise ValueError("an entry has other members than it should")
    version, digest = entry["version"], entry["sha256"]
    if type(version) is not int or not isinstance(digest, str) or not _DIGEST.match(digest):
        raise ValueError("an entry has a member of the wrong type")
    return version, digest
