"""What differs between the formats of collections for whoever reads them: one set of rules for each.

The rules of format ``docker`` are loaded when a collection has that format; nobody else pays for them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Protocol

from trustkit.core.evaluate import evaluate, evaluate_but_expiry
from trustkit.core.formats.tuf1 import read, role_kind
from trustkit.core.names import Gun, Tag
from trustkit.core.pinning import meets, root_key_ids
from trustkit.core.ports.remote import Pin
from trustkit.core.readings import Reader, Readings
from trustkit.core.view import SignedView
from trustkit.errors import WrongFormat

TUF, DOCKER = "tuf", "docker"


class Rules(Protocol):
    """How collections of one format are judged, pure as all of ``core``."""

    def evaluate(
        self, files: Mapping[str, bytes], gun: Gun, now: datetime, *, tags: Collection[Tag] | None = None
    ) -> SignedView:
        """As ``core.evaluate.evaluate``."""
        ...

    def evaluate_but_expiry(
        self, files: Mapping[str, bytes], gun: Gun, now: datetime, *, fresh: Collection[str]
    ) -> SignedView:
        """As ``core.evaluate.evaluate_but_expiry``."""
        ...

    def attributions(
        self, files: Mapping[str, bytes], view: SignedView, now: datetime
    ) -> Mapping[Tag, frozenset[str]]:
        """By tag the signers whose own key has signed it for the digest that it is trusted for."""
        ...

    def root_key_ids(self, data: bytes, gun: Gun) -> tuple[tuple[str, ...], int]:
        """The ids of a root's root keys and their threshold, by which it is signed; raises Rejected."""
        ...

    def meets(self, pin: Pin, gun: Gun, data: bytes, now: datetime) -> bool:
        """Whether a root is the GUN's and signed as the pin asks (TRUST 5.1)."""
        ...

    def expires(self, role: str, data: bytes) -> datetime:
        """When a file expires; raises Rejected where it can't be read."""
        ...

    def certified(self, files: Mapping[str, bytes]) -> datetime | None:
        """Until when the certificates of the root keys are valid; None where root keys have none."""
        ...

    def bare_ids(self, files: Mapping[str, bytes]) -> Mapping[str, str]:
        """By the id of a root's key that by which key stores have it, where that is another one."""
        ...


class TufRules:
    """The rules of format ``tuf``."""

    def __init__(self, reader: Reader = read) -> None:
        self._reader = reader

    def evaluate(
        self, files: Mapping[str, bytes], gun: Gun, now: datetime, *, tags: Collection[Tag] | None = None
    ) -> SignedView:
        """As ``Rules.evaluate``."""
        return evaluate(files, gun, now, tags=tags, reader=self._reader)

    def evaluate_but_expiry(
        self, files: Mapping[str, bytes], gun: Gun, now: datetime, *, fresh: Collection[str]
    ) -> SignedView:
        """As ``Rules.evaluate_but_expiry``."""
        return evaluate_but_expiry(files, gun, now, fresh=fresh, reader=self._reader)

    def attributions(
        self, files: Mapping[str, bytes], view: SignedView, now: datetime
    ) -> Mapping[Tag, frozenset[str]]:
        """As ``Rules.attributions``."""
        from trustkit.core.attribution import attributions  # here, because only a policy with signers asks for it

        return attributions(files, view.gun, now)

    def root_key_ids(self, data: bytes, gun: Gun) -> tuple[tuple[str, ...], int]:  # noqa: ARG002 - the protocol's
        """As ``Rules.root_key_ids``."""
        return root_key_ids(data)

    def meets(self, pin: Pin, gun: Gun, data: bytes, now: datetime) -> bool:  # noqa: ARG002 - the protocol's
        """As ``Rules.meets``."""
        return meets(pin, gun, data)

    def expires(self, role: str, data: bytes) -> datetime:
        """As ``Rules.expires``."""
        expires: datetime = self._reader(data, role_kind(role), f"{role}.json").signed.expires
        return expires

    def certified(self, files: Mapping[str, bytes]) -> datetime | None:  # noqa: ARG002 - the protocol's
        """As ``Rules.certified``."""
        return None

    def bare_ids(self, files: Mapping[str, bytes]) -> Mapping[str, str]:  # noqa: ARG002 - the protocol's
        """As ``Rules.bare_ids``."""
        return {}


class Formats:
    """The rules of each format, made when first asked for.

    Args:
        reader: reads files of format ``tuf``, where the caller has one that knows some of them; ``Readings`` knows
            those of format ``docker``, too.
    """

    def __init__(self, reader: Reader = read) -> None:
        self._reader = reader
        self._rules: dict[str, Rules] = {TUF: TufRules(reader)}

    def __call__(self, name: str) -> Rules:
        """The rules of a format; raises WrongFormat for one that isn't known."""
        if name == DOCKER and name not in self._rules:
            from trustkit.core.formats.docker.rules import DockerRules

            self._rules[name] = DockerRules(self._reader.docker if isinstance(self._reader, Readings) else None)
        try:
            return self._rules[name]
        except KeyError:
            raise WrongFormat(f"There is no format {name[:20]!r}.") from None
