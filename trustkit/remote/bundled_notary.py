"""Collections in format ``docker`` out of a bundle, verified into the same folders as over the network.

As ``BundledSource``: over a copy of the folder first, then over the folder itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from pathlib import Path

from trustkit.core.formats.docker.offline import NEWER as ANOTHER
from trustkit.core.names import Gun, Tag
from trustkit.core.ports.remote import CollectionFiles, Pin
from trustkit.core.roots import ONLINE
from trustkit.errors import Expired, RolledBack
from trustkit.remote.bundled import NEWER, BundledSource, Judge, copied
from trustkit.remote.notary_source import NotarySource
from trustkit.remote.updater import Fetch

_NEVER = 0.0


class BundledNotary:
    """Collections of one bundle in format ``docker``.

    Args:
        fetcher, folder, judge: as for ``BundledSource``.
        seen_as_tuf: as for ``NotarySource``.
    """

    def __init__(
        self,
        *,
        fetcher: Callable[[Gun], Fetch],
        folder: Callable[[Gun, Pin], AbstractContextManager[Path]],
        seen_as_tuf: Callable[[Gun], bool],
        judge: Judge,
        now: Callable[[], datetime],
    ) -> None:
        self._fetcher = fetcher
        self._folder = folder
        self._seen_as_tuf = seen_as_tuf
        self._judge = judge
        self._now = now

    def first_root(self, gun: Gun) -> bytes:
        """As ``MetadataSource.first_root``."""
        return self._over(Path()).first_root(gun)

    def refresh(self, gun: Gun, pin: Pin, now: datetime, *, tags: Collection[Tag] | None = None) -> CollectionFiles:
        """As ``MetadataSource.refresh``; what ``judge`` refuses is not kept.

        That it was verified now doesn't make it fresh for who is online and reaches nobody.
        """
        with self._folder(gun, pin) as kept, copied(kept, gun) as copy:
            try:
                found = self._over(copy).refresh(gun, pin, now, tags=tags)
            except RolledBack as error:
                error.hint = NEWER
                raise
            except Expired as error:
                if error.context.get("role") in ONLINE:
                    error.hint = (
                        f"Format docker doesn't say when it was signed, so no age makes up for that. {ANOTHER}"
                    )
                raise
            self._judge(found.files, gun, now, tags=tags)
            stamp = kept / "timestamp.json"
            heard = stamp.stat().st_mtime if stamp.exists() else _NEVER
            files = self._over(kept).refresh(gun, pin, now, tags=tags)
            os.utime(stamp, times=(heard, heard))
            return files

    def carry(self, gun: Gun, pin: Pin, files: Mapping[str, bytes]) -> None:
        """As ``MetadataSource.carry``."""
        with self._folder(gun, pin) as folder:
            self._over(folder).carry(gun, pin, files)

    def _over(self, folder: Path) -> NotarySource:
        """A file doesn't lag as a replica may: nothing is waited for."""
        return NotarySource(
            fetcher=self._fetcher,
            folder=lambda _gun, _pin: nullcontext(folder),
            seen=lambda _: False,
            seen_as_tuf=self._seen_as_tuf,
            now=self._now,
            sleep=lambda _: None,
        )


class BundledFormats:
    """Collections of one bundle in either format; implements ``MetadataSource`` and ``FormerSource``."""

    def __init__(self, tuf: BundledSource, docker: BundledNotary) -> None:
        self._tuf = tuf
        self._docker = docker

    def first_root(self, gun: Gun, *, wire: str = "tuf") -> bytes:
        """As ``MetadataSource.first_root``."""
        return self._tuf.first_root(gun) if wire == "tuf" else self._docker.first_root(gun)

    def refresh(self, gun: Gun, pin: Pin, now: datetime, *, tags: Collection[Tag] | None = None) -> CollectionFiles:
        """As ``MetadataSource.refresh``."""
        return self._of(pin).refresh(gun, pin, now, tags=tags)

    def carry(self, gun: Gun, pin: Pin, files: Mapping[str, bytes]) -> None:
        """As ``MetadataSource.carry``."""
        self._of(pin).carry(gun, pin, files)

    def tuf_roots(self, gun: Gun) -> Iterator[bytes]:
        """As ``FormerSource.tuf_roots``."""
        return self._tuf.tuf_roots(gun)

    def docker_roots(self, gun: Gun, pin: Pin) -> Iterator[bytes]:
        """As ``FormerSource.docker_roots``."""
        return self._tuf.docker_roots(gun, pin)

    def _of(self, pin: Pin) -> BundledSource | BundledNotary:
        return self._tuf if pin.format == "tuf" else self._docker
