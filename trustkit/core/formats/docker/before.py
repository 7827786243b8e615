"""What is known of the files of a collection in format ``docker`` before they are evaluated."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import field
from datetime import datetime
from threading import Lock
from typing import Protocol

from tuf.api.metadata import Metadata, Root

from trustkit.core.formats.docker.roots import check_root, check_root_at
from trustkit.core.names import Gun, Tag
from trustkit.core.records import dataclass
from trustkit.core.roots import ONLINE
from trustkit.core.view import SignedTarget, SignedView


class RootCheck(Protocol):
    """Holds a root to what it has to be by itself, as ``certified`` does."""

    def __call__(self, root: Metadata[Root], data: bytes, gun: Gun, now: datetime | None) -> datetime: ...


def certified(root: Metadata[Root], data: bytes, gun: Gun, now: datetime | None) -> datetime:
    """Holds a root to its rules, and to its own threshold by certificates valid at ``now``, if that is given.

    Args:
        data: the very bytes that ``root`` was read from.

    Returns:
        When too few of them are valid any more.

    Raises:
        BadKeys, WrongGun, BadSignature, Expired: as ``check_root`` and ``check_root_at``.
    """
    check_root(root.signed, gun)
    return check_root_at(root, data, now)


class CertifiedRoots:
    """``certified`` without a time, done once for the same bytes: it follows from them and the collection's name.

    Args:
        kept: bytes of roots together that are remembered, the newest ones.
    """

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._known: dict[tuple[Gun, bytes], datetime] = {}
        self._changing = Lock()

    @property
    def remembered(self) -> frozenset[bytes]:
        """What is remembered."""
        return frozenset(data for _, data in self._known)

    def __call__(self, root: Metadata[Root], data: bytes, gun: Gun, now: datetime | None) -> datetime:
        """As ``certified``; with a time, and where it raises, nothing is remembered."""
        if now is not None:
            return certified(root, data, gun, now)
        if (known := self._known.get((gun, data))) is not None:
            return known
        found = certified(root, data, gun, None)
        with self._changing:
            self._known[gun, data] = found
            while sum(len(each) for _, each in self._known) > self._kept:
                del self._known[next(iter(self._known))]
        return found


@dataclass(frozen=True, slots=True)
class Before:
    """So that none of it is found out twice in one publish; as ``core.evaluate.Before``.

    Attributes:
        root: ``certified``, or what remembers for which bytes it was done.
        verified: roles below ``root`` whose files had their signatures verified, under these very keys.
        files: of a state that was evaluated before; empty where none is known.
        view: what came of it.  Its tags count where every file that tags are taken from is the same, and otherwise
            each for an entry that says the same.
    """

    root: RootCheck = certified
    verified: Collection[str] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    view: SignedView | None = None

    def tags(self, files: Mapping[str, bytes]) -> Mapping[Tag, SignedTarget] | None:
        """Those of that state, where nothing that decides about tags is another; None where they have to be read.

        Args:
            files: by role the root, ``targets`` and every delegation that the snapshot names.
        """
        if self.view is None or {role: data for role, data in self.files.items() if role not in ONLINE} != files:
            return None
        return self.view.targets

    @property
    def said(self) -> Mapping[str, SignedTarget]:
        """By name what was read of a tag."""
        return {tag.name: target for tag, target in self.view.targets.items()} if self.view else {}
