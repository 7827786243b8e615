"""What a client needs of a service to convert a collection from format ``docker`` to ``tuf`` (TRUST 5.4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from securesystemslib.signer import Key

from trustkit.core.names import Gun


@dataclass(frozen=True, slots=True)
class DockerSide:
    """What docker reads of a collection that was converted, as its service says.

    Attributes:
        until: until when it reads what was signed before.
        ended, reason: when and why that ended earlier; None and nothing where it hasn't.
    """

    converted: datetime
    until: datetime
    ended: datetime | None = None
    reason: str = ""

    def over(self, now: datetime) -> bool:
        """Whether docker reads nothing of it any more."""
        return self.ended is not None or self.until <= now


@dataclass(frozen=True, slots=True)
class Conversion:
    """How far a collection is, as its service says.

    Attributes:
        format: its format now.
        keys: the service's keys that the root in format ``tuf`` has to name; empty before they were made.
        last: by role versions that were used before.
        docker: what docker reads of it since it was converted; None before.
    """

    format: str
    keys: Mapping[str, Key] = field(default_factory=dict)
    last: Mapping[str, int] = field(default_factory=dict)
    docker: DockerSide | None = None


class ConversionService(Protocol):
    """The service that a GUN's host names.  Errors as of ``TrustService``."""

    def conversion(self, gun: Gun, *, prepare: bool = False) -> Conversion:
        """How far it is.

        Args:
            prepare: have the service make its keys for it, where it has none yet.

        Raises:
            WrongFormat: with ``prepare``, for a collection that isn't in format ``docker``.
        """
        ...

    def convert(self, gun: Gun, tuf: Mapping[str, bytes], docker: Mapping[str, bytes]) -> Mapping[str, int]:
        """Uploads both sides in one request; returns the versions in format ``tuf`` by role."""
        ...

    def frozen(self, gun: Gun, role: str) -> bytes:
        """One current file that the service serves in format ``docker``, nothing verified."""
        ...

    def end_docker(self, gun: Gun) -> DockerSide:
        """Has the service end what docker reads of a converted collection; where it is over, it stays so.

        Raises:
            NotFound: it was never converted.
        """
        ...


class DockerSides(Protocol):
    """What a service says to whoever may read a collection.  Errors as of ``TrustService``."""

    def docker_side(self, gun: Gun) -> DockerSide | None:
        """What docker reads of a collection; None where it was never converted, or nobody there knows of that."""
        ...
