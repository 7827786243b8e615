"""Collections out of a bundle, verified into the same folders as what comes over the network.

The files go through the same client of their format.  It runs twice: over a copy of the folder first, and only when
the outcome has been judged, age and all, over the folder itself, under one lock.  So what this home has seen binds
the bundle, what the bundle shows binds the network later, and a bundle that is refused leaves nothing behind
(TRUST 6.1, 6.3).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from trustkit.core.evaluate import BEFORE_ALL
from trustkit.core.formats.docker.offline import NEWER as ANOTHER
from trustkit.core.names import Gun, Tag
from trustkit.core.ports.remote import CollectionFiles, MetadataSource, Pin
from trustkit.core.roots import ONLINE
from trustkit.errors import Expired, RolledBack, StateError

NEWER = "This machine has seen a newer state of it before; get a bundle that is newer."

_NEVER = 0.0


class Judge(Protocol):
    """Says whether a verified state may be used at ``now``; raises NotTrusted leaves where not."""

    def __call__(
        self, files: Mapping[str, bytes], gun: Gun, now: datetime, *, tags: Collection[Tag] | None = None
    ) -> object: ...


class Bundled:
    """Collections of one bundle in one format; implements ``MetadataSource``.

    Args:
        over: the client of the format, over one folder, with the bundle in the place of a service.
        folder: gives the exclusively locked metadata folder for a GUN and pin, the one that is used online.
        judge: decides on expiry and age.
    """

    def __init__(
        self,
        over: Callable[[Path], MetadataSource],
        folder: Callable[[Gun, Pin], AbstractContextManager[Path]],
        judge: Judge,
    ) -> None:
        self._over = over
        self._folder = folder
        self._judge = judge

    def first_root(self, gun: Gun, *, wire: str = "tuf") -> bytes:
        """As ``MetadataSource.first_root``."""
        return self._over(Path()).first_root(gun, wire=wire)

    def refresh(self, gun: Gun, pin: Pin, now: datetime, *, tags: Collection[Tag] | None = None) -> CollectionFiles:
        """As ``MetadataSource.refresh``; what ``judge`` refuses is not kept."""
        with self._folder(gun, pin) as kept, copied(kept, gun) as copy:
            try:
                found = self._read(copy, gun, pin, now, tags)
            except RolledBack as error:
                error.hint = NEWER
                raise
            self._judge(found.files, gun, now, tags=tags)
            return self._read(kept, gun, pin, now, tags)

    def carry(self, gun: Gun, pin: Pin, files: Mapping[str, bytes]) -> None:
        """As ``MetadataSource.carry``."""
        with self._folder(gun, pin) as folder:
            self._over(folder).carry(gun, pin, files)

    def _read(self, folder: Path, gun: Gun, pin: Pin, now: datetime, tags: Collection[Tag] | None) -> CollectionFiles:
        return self._over(folder).refresh(gun, pin, now, tags=tags)


class BundledTuf(Bundled):
    """Those in format ``tuf``: of expiry and age, which the judge decides on, the updater is told nothing."""

    def _read(
        self,
        folder: Path,
        gun: Gun,
        pin: Pin,
        now: datetime,  # noqa: ARG002 - as it is for the other format
        tags: Collection[Tag] | None,
    ) -> CollectionFiles:
        return self._over(folder).refresh(gun, pin, BEFORE_ALL, tags=tags)


class BundledNotary(Bundled):
    """Those in format ``docker``.

    That one was verified now doesn't make it fresh for who is online and reaches nobody.
    """

    def _read(self, folder: Path, gun: Gun, pin: Pin, now: datetime, tags: Collection[Tag] | None) -> CollectionFiles:
        stamp = folder / "timestamp.json"
        heard = stamp.stat().st_mtime if stamp.exists() else _NEVER
        try:
            files = super()._read(folder, gun, pin, now, tags)
        except Expired as error:
            if error.context.get("role") in ONLINE:
                error.hint = f"Format docker doesn't say when it was signed, so no age makes up for that. {ANOTHER}"
            raise
        os.utime(stamp, times=(heard, heard))
        return files


class BundledFormats:
    """Collections of one bundle in either format; implements ``MetadataSource`` and ``FormerSource``.

    Args:
        tuf_roots: the roots of a collection in format ``tuf`` in the bundle.
        docker_roots: those in format ``docker``: what was verified here under a pin, online, then the bundle's.
    """

    def __init__(
        self,
        tuf: Bundled,
        docker: Bundled,
        *,
        tuf_roots: Callable[[Gun], Iterator[bytes]],
        docker_roots: Callable[[Gun, Pin], Iterator[bytes]],
    ) -> None:
        self._formats = {"tuf": tuf, "docker": docker}
        self._tuf_roots = tuf_roots
        self._docker_roots = docker_roots

    def first_root(self, gun: Gun, *, wire: str = "tuf") -> bytes:
        """As ``MetadataSource.first_root``."""
        return self._formats[wire].first_root(gun, wire=wire)

    def refresh(self, gun: Gun, pin: Pin, now: datetime, *, tags: Collection[Tag] | None = None) -> CollectionFiles:
        """As ``MetadataSource.refresh``."""
        return self._formats[pin.format].refresh(gun, pin, now, tags=tags)

    def carry(self, gun: Gun, pin: Pin, files: Mapping[str, bytes]) -> None:
        """As ``MetadataSource.carry``."""
        self._formats[pin.format].carry(gun, pin, files)

    def tuf_roots(self, gun: Gun) -> Iterator[bytes]:
        """As ``FormerSource.tuf_roots``."""
        return self._tuf_roots(gun)

    def docker_roots(self, gun: Gun, pin: Pin) -> Iterator[bytes]:
        """As ``FormerSource.docker_roots``."""
        return self._docker_roots(gun, pin)


@contextmanager
def copied(kept: Path, gun: Gun) -> Iterator[Path]:
    """A copy of a metadata folder, gone after the block; raises StateError."""
    try:
        with TemporaryDirectory(prefix="trustkit-bundle-") as scratch:
            copy = Path(scratch) / "metadata"
            shutil.copytree(kept, copy, symlinks=True)
            yield copy
    except OSError as error:
        raise StateError(f"No folder to look at {gun} in could be made: {error.strerror or error}.") from error
