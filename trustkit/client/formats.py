"""Collections of either format behind one source: the pin says which one it is (TRUST 5.4)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime
from typing import Protocol

from trustkit.core.names import Gun, Tag
from trustkit.core.ports.remote import CollectionFiles, KeptMetadata, LookingSource, MetadataSource, Pin


class KeepingSource(MetadataSource, KeptMetadata, Protocol):
    """A source that keeps what it verified."""


class TufSource(KeepingSource, Protocol):
    """The source of collections in format ``tuf``."""

    def tuf_roots(self, gun: Gun) -> Iterator[bytes]: ...


class DockerSource(KeepingSource, Protocol):
    """The source of collections in format ``docker``."""

    def docker_roots(self, gun: Gun, pin: Pin) -> Iterator[bytes]: ...


class FormatSource:
    """A MetadataSource, what it keeps, and a FormerSource, for collections of both formats.

    Args:
        tuf: collections in format ``tuf``.
        docker: makes the source of collections in format ``docker``, when the first one is asked for.
    """

    def __init__(self, tuf: TufSource, docker: Callable[[], DockerSource]) -> None:
        self._tuf = tuf
        self._make = docker
        self._made: DockerSource | None = None

    def _of(self, name: str) -> KeepingSource:
        return self._tuf if name == "tuf" else self._docker

    @property
    def _docker(self) -> DockerSource:
        if self._made is None:
            self._made = self._make()
        return self._made

    def tuf_roots(self, gun: Gun) -> Iterator[bytes]:
        """As ``FormerSource.tuf_roots``."""
        return self._tuf.tuf_roots(gun)

    def docker_roots(self, gun: Gun, pin: Pin) -> Iterator[bytes]:
        """As ``FormerSource.docker_roots``."""
        return self._docker.docker_roots(gun, pin)

    def first_root(self, gun: Gun, *, wire: str = "tuf") -> bytes:
        """As ``MetadataSource.first_root``."""
        return self._of(wire).first_root(gun, wire=wire)

    def refresh(self, gun: Gun, pin: Pin, now: datetime, *, tags: Collection[Tag] | None = None) -> CollectionFiles:
        """As ``MetadataSource.refresh``."""
        return self._of(pin.format).refresh(gun, pin, now, tags=tags)

    def carry(self, gun: Gun, pin: Pin, files: Mapping[str, bytes]) -> None:
        """As ``MetadataSource.carry``."""
        self._of(pin.format).carry(gun, pin, files)

    def kept(self, gun: Gun, pin: Pin) -> Mapping[str, bytes] | None:
        """As ``KeptMetadata.kept``."""
        return self._of(pin.format).kept(gun, pin)

    def verified_at(self, gun: Gun, pin: Pin) -> datetime | None:
        """As ``KeptMetadata.verified_at``."""
        return self._of(pin.format).verified_at(gun, pin)


class FormatLooking:
    """A LookingSource for collections of both formats; as ``FormatSource``."""

    def __init__(self, tuf: LookingSource, docker: Callable[[], LookingSource]) -> None:
        self._tuf = tuf
        self._docker = docker

    def look(self, gun: Gun, pin: Pin) -> CollectionFiles:
        """As ``LookingSource.look``."""
        source = self._tuf if pin.format == "tuf" else self._docker()
        return source.look(gun, pin)
