"""What was signed here in root ceremonies: ``ceremonies.json``, so that no key signs two roots of one version.

Whoever shows a holder an old root can have a fork of the collection signed, with what was in force then.
"""

from __future__ import annotations

import re
from pathlib import Path

from trustkit.core import strictjson
from trustkit.core.names import Gun
from trustkit.errors import StateError, TrustkitError
from trustkit.home.files import read_bounded, write_atomically
from trustkit.home.locks import exclusive

SCHEMA = 1
MAX_FILE = 4 * 1024 * 1024
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


class SignedRoots:
    """The last root that was signed here of each collection: its version, and the SHA-256 of what was signed.

    Args:
        path: the file; it need not exist.  Its lock file lies beside it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = path.with_name(f".{path.name}.lock")

    def __repr__(self) -> str:
        return f"SignedRoots({str(self._path)!r})"

    def last(self, gun: Gun) -> tuple[int, str] | None:
        """Version and digest; None where none was signed here; raises StateError where the file is damaged."""
        return self._load().get(gun)

    def note(self, gun: Gun, version: int, digest: str) -> None:
        """Notes what is about to be signed, on disk when this returns; raises StateError."""
        with exclusive(self._lock):
            known = {**self._load(), gun: (version, digest)}
            roots = {str(each): {"version": number, "sha256": digest} for each, (number, digest) in known.items()}
            write_atomically(self._path, strictjson.serialise({"version": SCHEMA, "roots": roots}) + b"\n")

    def _load(self) -> dict[Gun, tuple[int, str]]:
        data = read_bounded(self._path, MAX_FILE)
        if data is None:
            return {}
        try:
            document = strictjson.parse(data, max_bytes=MAX_FILE, what=self._path.name)
            if document.get("version") != SCHEMA or not isinstance(document.get("roots"), dict):
                raise ValueError("another version of trustkit wrote it")
            return {Gun.parse(name): _read(entry) for name, entry in document["roots"].items()}
        except (TrustkitError, ValueError) as error:
            raise StateError(
                f"{self._path} can't be read: {getattr(error, 'message', error)}.",
                hint="It says which roots were signed here; move it away only if you know that yourself.",
            ) from error


def _read(entry: object) -> tuple[int, str]:
    if not isinstance(entry, dict) or entry.keys() != {"version", "sha256"}:
        raise ValueError("an entry has other members than it should")
    version, digest = entry["version"], entry["sha256"]
    if type(version) is not int or not isinstance(digest, str) or not _DIGEST.match(digest):
        raise ValueError("an entry has a member of the wrong type")
    return version, digest
