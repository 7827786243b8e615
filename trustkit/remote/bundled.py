"""Collections out of a bundle, verified into the same folders as what comes over the network.

The files go through the same updater.  It runs twice: over a copy of the folder first, and only when the outcome has
been judged, age and all, over the folder itself, under one lock.  So what this home has seen binds the bundle, what
the bundle shows binds the network later, and a bundle that is refused leaves nothing behind (TRUST 6.1, 6.3).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from trustkit.core.evaluate import BEFORE_ALL
from trustkit.core.names import Gun, Tag
from trustkit.core.ports.remote import CollectionFiles, Pin
from trustkit.errors import RolledBack, StateError
from trustkit.remote.notary_folder import kept_roots
from trustkit.remote.source import UpdaterSource
from trustkit.remote.updater import Fetch

NEWER = "This machine has seen a newer state of it before; get a bundle that is newer."


class Judge(Protocol):
    """Says whether a verified state may be used at ``now``; raises NotTrusted leaves where not."""

    def __call__(
        self, files: Mapping[str, bytes], gun: Gun, now: datetime, *, tags: Collection[Tag] | None = None
    ) -> object: ...


class BundledSource:
    """Collections of one bundle; implements ``MetadataSource`` and ``FormerSource``.

    Args:
        fetcher: gives what reads one collection's files out of the bundle.
        folder: gives the exclusively locked metadata folder for a GUN and pin, the one that is used online.
        judge: decides on expiry and age, which the updater is told nothing of here.
    """

    def __init__(
        self,
        *,
        fetcher: Callable[[Gun], Fetch],
        folder: Callable[[Gun, Pin], AbstractContextManager[Path]],
        judge: Judge,
    ) -> None:
        self._fetcher = fetcher
        self._folder = folder
        self._judge = judge

    def first_root(self, gun: Gun, *, wire: str = "tuf") -> bytes:
        """As ``MetadataSource.first_root``; a bundle has collections in format ``tuf``."""
        return self._over(Path()).first_root(gun, wire=wire)

    def tuf_roots(self, gun: Gun) -> Iterator[bytes]:
        """As ``FormerSource.tuf_roots``."""
        return self._over(Path()).tuf_roots(gun)

    def docker_roots(self, gun: Gun, pin: Pin) -> Iterator[bytes]:
        """As ``FormerSource.docker_roots``: those that were verified here online, as a bundle has none."""
        with self._folder(gun, pin) as folder:
            return iter(kept_roots(folder))

    def refresh(self, gun: Gun, pin: Pin, now: datetime, *, tags: Collection[Tag] | None = None) -> CollectionFiles:
        """As ``MetadataSource.refresh``; what ``judge`` refuses is not kept."""
        with self._folder(gun, pin) as kept, copied(kept, gun) as copy:
            try:
                found = self._over(copy).refresh(gun, pin, BEFORE_ALL, tags=tags)
            except RolledBack as error:
                error.hint = NEWER
                raise
            self._judge(found.files, gun, now, tags=tags)
            return self._over(kept).refresh(gun, pin, BEFORE_ALL, tags=tags)

    def carry(self, gun: Gun, pin: Pin, files: Mapping[str, bytes]) -> None:
        """As ``MetadataSource.carry``."""
        with self._folder(gun, pin) as folder:
            self._over(folder).carry(gun, pin, files)

    def _over(self, folder: Path) -> UpdaterSource:
        """A file doesn't lag as a replica may: nothing is waited for."""
        return UpdaterSource(
            fetcher=self._fetcher,
            folder=lambda _gun, _pin: nullcontext(folder),
            seen=lambda _: False,
            sleep=lambda _: None,
        )


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
