"""From a pin in format ``docker`` to the collection in format ``tuf`` that its collection became (TRUST 5.4).

The last root in format ``docker`` says that it is one, in a member that every client of Docker's reads over, and
none ever sets: it asks for consistent snapshots, which TUF 1.0 has.  The root keys sign that, so nobody between a
publisher and a consumer can take it away, and whoever has seen it believes what Docker's format says no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tuf.api.metadata import Metadata, MetaFile, Root, Timestamp

from trustkit.core.formats.docker.files import read
from trustkit.core.formats.docker.keys import DockerKey, canonical_ids, from_tuf, key_of
from trustkit.core.formats.docker.roots import root_keys
from trustkit.core.formats.tuf1 import read as read_tuf
from trustkit.core.names import Gun
from trustkit.core.ports.remote import Pin
from trustkit.core.records import dataclass
from trustkit.core.roots import check_gun, check_root_keys, check_threshold, root_signers
from trustkit.errors import KeyUnsupported, Malformed, Rejected

NOTHING = MetaFile(1, 1, {"sha256": "00" * 32, "sha512": "00" * 64})
"""A snapshot that nobody has: the last timestamp of a side that ended names it."""


def is_end(timestamp: bytes) -> bool:
    """Whether a timestamp ends its side for whoever has taken it; nothing else of it is verified."""
    return read(timestamp, Timestamp).signed.snapshot_meta.hashes == NOTHING.hashes


def mark_last(root: Root) -> None:
    """Makes a root say that its collection goes on in format ``tuf``."""
    root.consistent_snapshot = True


def is_last(root: Root) -> bool:
    """Whether a root says so."""
    return bool(root.consistent_snapshot)


def check_goes_on(root: Root) -> None:
    """Raises Malformed for a root that says so without a conversion: consumers would look for what isn't there."""
    if is_last(root):
        raise Malformed(
            "The root says that its collection goes on in format tuf, which trustkit convert alone makes it say.",
            hint="A collection that was converted elsewhere is taken over in format tuf.",
        )


@dataclass(frozen=True, slots=True)
class PinnedKeys:
    """The bare keys that a pin stands for.

    Attributes:
        ids: their canonical ids.
        threshold: how many of them have to have signed.
    """

    ids: frozenset[str]
    threshold: int


def pinned_keys(pin: Pin, roots: Iterable[bytes]) -> PinnedKeys:
    """The keys of a pin by root file or by ids; none for one by authority, which says nothing of bare keys.

    An id may be that of a certificate.  It is the certificate's hash, so whoever has one that fits has the pinned
    one, wherever it came from: the roots are searched for it, and not believed.

    Args:
        roots: files in format ``docker`` that may hold the pinned certificates; read only as far as needed.
    """
    if pin.authorities is not None:
        return PinnedKeys(frozenset(), 1)
    if pin.root is not None:
        role = read(pin.root, Root).signed
        return PinnedKeys(canonical_ids(root_keys(role).values()), role.roles["root"].threshold)
    ids, unknown = set(pin.key_ids), set(pin.key_ids)
    for data in roots:
        for key_id, key in _keys(data).items():
            if key_id in unknown:
                ids.add(key.canonical_id)
            unknown -= {key_id, key.canonical_id}
        if not unknown:
            break
    return PinnedKeys(frozenset(ids), pin.threshold)


def _keys(data: bytes) -> Mapping[str, DockerKey]:
    try:
        return {key_id: key_of(key) for key_id, key in read(data, Root).signed.keys.items()}
    except Rejected:
        return {}


def signers_of(data: bytes, gun: Gun) -> Mapping[str, str]:
    """By id in format ``tuf`` the canonical ids of the root keys that have signed a root, which is the GUN's.

    Raises:
        WrongGun: it is another collection's.
        Rejected: it is no root, or too few have signed it.
    """
    root: Metadata[Root] = read_tuf(data, Root)
    check_root_keys(root.signed)
    check_threshold(root.signed, "root", root)
    check_gun(root.signed, gun)
    found = {}
    for key_id in sorted(root_signers(root)):
        try:
            found[key_id] = from_tuf(root.signed.keys[key_id]).canonical_id
        except KeyUnsupported:
            continue  # no certificate of Docker's can be one of that key
    return found


def follows(pinned: PinnedKeys, data: bytes, gun: Gun) -> bool:
    """Whether a root in format ``tuf`` is the GUN's and enough pinned keys have *signed* it (TRUST 5.1, 5.4).

    One that merely lists them, or that another key of the old root signed, is not.
    """
    try:
        signed = frozenset(signers_of(data, gun).values())
    except Rejected:
        return False
    return 0 < pinned.threshold <= len(signed & pinned.ids)
