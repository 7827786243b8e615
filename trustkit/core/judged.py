"""What the judge is given and what it gives: the stored state, and an upload that may follow it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from securesystemslib.signer import Key
from tuf.api.metadata import Metadata, Root, Targets

from trustkit.core.delegations import TARGETS
from trustkit.core.names import Gun
from trustkit.core.needs import NEW_ROOT, Lack, lack_of, needs_of
from trustkit.core.places import Places, read_places
from trustkit.core.roots import ONLINE
from trustkit.core.view import SignedTarget
from trustkit.errors import BadSignature, Malformed

FOUNDING = frozenset({"root", "targets"})
"""The roles that a collection's first upload has to have."""


@dataclass(frozen=True, slots=True)
class State:
    """What is stored.

    Attributes:
        files: the current files by role, the last ones of roles that are no longer delegated to among them; empty
            before the first publish.
        online: the service's online keys by role.
        pending: online keys that a new root may name in the place of those; empty, or one for each role that rotates.
        consumed: by role the highest version that a dropped proposal had; it is never used again.
        dropped: the SHA-256, in hex, of what signatures cover in dropped proposals; it is never accepted.
        last: by role the last versions of a collection that its Owner reset: a first upload goes on after them.
        whole: whether ``files`` are all that are stored.  Bins that aren't uploaded may be left out where no root, no
            targets and no releases is: who may sign them stays as it was when they were judged.
        ceilings: by role the highest version that the next file may have, after the database came from a backup.
        snapshot: the current snapshot, which names every role that ever had a file; None where there is none.
    """

    gun: Gun
    files: Mapping[str, bytes]
    online: Mapping[str, Key]
    pending: Mapping[str, Key] = field(default_factory=dict)
    consumed: Mapping[str, int] = field(default_factory=dict)
    dropped: frozenset[str] = frozenset()
    last: Mapping[str, int] = field(default_factory=dict)
    ceilings: Mapping[str, int] = field(default_factory=dict)
    whole: bool = True
    snapshot: bytes | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """An upload that may be stored as it is.

    Attributes:
        root, targets: the collection's state afterwards, uploaded or stored.
        delegated: the files of the roles that grant trust by delegation, likewise, and the uploaded ones of roles
            that attribute; of hash bins those that were judged, which are all where anything else could differ.
        uploaded: the roles that the upload brought.
        changed: tags that the upload signs anew or differently; None for a tag that is withdrawn.
        founding: whether this makes the collection, or makes it anew after a reset.
        jumped: the roles whose version jumped ahead, as it may once after a recovery.
        lacks: the signatures that are missing still; empty unless it was judged as a start.
        holders: by uploaded bin in which a signer says what it signed, that signer's role.
    """

    root: Metadata[Root]
    targets: Metadata[Targets]
    delegated: Mapping[str, Metadata[Targets]]
    uploaded: frozenset[str]
    changed: Mapping[str, SignedTarget | None]
    founding: bool = False
    jumped: frozenset[str] = frozenset()
    lacks: tuple[Lack, ...] = ()
    holders: Mapping[str, str] = field(default_factory=dict)

    @property
    def places(self) -> Places:
        """Who may sign which tags in the new state, and where they lie."""
        delegated = {role: file.signed for role, file in self.delegated.items()}
        return read_places(self.root.signed, {**delegated, TARGETS: self.targets.signed})

    def file(self, role: str) -> Metadata[Root] | Metadata[Targets]:
        """One uploaded role's file."""
        if role == "root":
            return self.root
        return self.targets if role == "targets" else self.delegated[role]

    def signed(self, role: str) -> Root | Targets:
        """The signed part of one uploaded role."""
        return self.file(role).signed


def check_roles(state: State, upload: Mapping[str, bytes]) -> None:
    """Raises Malformed for an upload of nothing, of a file of the service's, or of too little to begin with."""
    if not upload:
        raise Malformed("The upload has no file.")
    for role in upload:
        if role in ONLINE:
            raise Malformed(f"{role}.json is made by the service and can't be uploaded.")
    if not state.files and not set(upload) >= FOUNDING:
        raise Malformed(
            f"{state.gun} has no collection yet; its first upload needs root and targets.",
            hint="Run trustkit init, or sign a tag.",
        )


def lacks_of(accepted: Accepted, old_root: Root, upload: Iterable[str]) -> tuple[Lack, ...]:
    """The signatures that uploaded files lack of those that the stored root and the new state ask for.

    Raises:
        BadSignature: a file without any that counts; nobody proposes that.
    """
    root, targets = accepted.root.signed, accepted.targets.signed
    found = []
    for role in sorted(upload):
        holder = accepted.holders.get(role)
        for need in needs_of(role, old_root=old_root, root=root, targets=targets, holder=holder):
            lack = lack_of(need, accepted.file(role))
            if lack is not None and len(lack.key_ids) == len(need.keys) and need.delegator != NEW_ROOT:
                raise BadSignature(f"{role}.json has no valid signature of a key that may sign it.", role=role)
            found += [lack] if lack else []
    return tuple(found)
