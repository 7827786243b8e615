"""One folder of verified metadata for each GUN and pin, with a lock of its own (TRUST 6.1)."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trustkit.core.names import Gun
from trustkit.core.ports.remote import Pin
from trustkit.errors import StateError
from trustkit.home.files import private_folder
from trustkit.home.locks import exclusive

_IDENTITY = re.compile(r"[0-9a-f]{32}\Z")
_UNSAFE = re.compile(r"[^a-z0-9.]+")


def pin_identity(pin: Pin) -> str:
    """32 hex digits that are equal exactly when two pins accept the same roots, whatever their pattern is."""
    root = hashlib.sha256(pin.root).hexdigest() if pin.root is not None else None
    members: list[object] = [root, sorted(pin.key_ids), pin.threshold, pin.format]
    if pin.authorities is not None:
        members.append(hashlib.sha256(pin.authorities).hexdigest())
    identity = json.dumps(members)
    return hashlib.sha256(identity.encode("ascii")).hexdigest()[:32]


def gun_folder_name(gun: Gun) -> str:
    """A folder name for a GUN: readable, safe, and unique by its hash."""
    readable = _UNSAFE.sub("-", str(gun))[:80].strip("-.")
    return f"{readable}-{hashlib.sha256(str(gun).encode('ascii')).hexdigest()[:32]}"


class MetadataFolders:
    """Where the TUF client keeps what it verified.

    A folder belongs to one GUN and one pin: what was verified under another pin is never believed under this one.

    Args:
        path: the folder of all of them; it is made when first needed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __repr__(self) -> str:
        return f"MetadataFolders({str(self._path)!r})"

    def metadata_folder(self, gun: Gun, pin: Pin) -> Path:
        """The folder for this GUN and pin; it exists and is ours."""
        private_folder(self._path)
        name = pin_identity(pin) if pin.format == "tuf" else f"{pin.format}-{pin_identity(pin)}"
        return private_folder(private_folder(self._path / gun_folder_name(gun)) / name)

    @contextmanager
    def locked(self, gun: Gun, pin: Pin, *, timeout: float = 60.0) -> Iterator[Path]:
        """The folder, held for this block against every other process and thread.

        Raises:
            StateError: another one holds it for longer than ``timeout`` seconds.
        """
        folder = self.metadata_folder(gun, pin)
        with exclusive(folder.with_suffix(".lock"), timeout=timeout):
            yield folder

    def seen(self, gun: Gun) -> bool:
        """Whether a timestamp of this GUN was ever verified here, under any pin (TRUST 6.4)."""
        return any(self._timestamps(gun))

    def seen_as_tuf(self, gun: Gun) -> bool:
        """Whether a timestamp of this GUN was ever verified here in format ``tuf`` (TRUST 5.4)."""
        return any(_IDENTITY.match(path.parent.name) for path in self._timestamps(gun))

    def tuf_roots(self, gun: Gun) -> list[bytes]:
        """The roots of this GUN that were verified here in format ``tuf``, under whatever pin, the oldest ones first.

        Raises:
            StateError: they can't be read.
        """
        folders = [path.parent for path in self._timestamps(gun) if _IDENTITY.match(path.parent.name)]
        found = [path for folder in folders for path in (folder / "root_history").glob("*.root.json")]
        try:
            return [path.read_bytes() for path in sorted(found, key=lambda path: (len(path.name), path.name))]
        except OSError as error:
            raise StateError(f"The cache for {gun} can't be read.") from error

    def _timestamps(self, gun: Gun) -> list[Path]:
        try:
            return list((self._path / gun_folder_name(gun)).glob("*/timestamp.json"))
        except OSError as error:
            raise StateError(f"The cache for {gun} can't be read.") from error

    def clear(self, gun: Gun, pin: Pin, *, timeout: float = 60.0) -> None:
        """Forgets what was verified for this GUN and pin; its lock stays."""
        with self.locked(gun, pin, timeout=timeout) as folder:
            shutil.rmtree(folder, ignore_errors=True)
            private_folder(folder)
