"""What the client's use cases need from services, registries and their own state."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import field
from datetime import datetime
from typing import Protocol

from securesystemslib.signer import Key

from trustkit.core.names import Digest, Gun, Tag
from trustkit.core.ports.images import ManifestBytes
from trustkit.core.records import dataclass


@dataclass(frozen=True, slots=True)
class ServiceKeys:
    """The service's keys for ``snapshot`` and ``timestamp``, and what else a publisher's next files depend on.

    Attributes:
        current: the keys in use, by role.
        pending: keys that the next root should name in the place of those.
        last: the last versions of a collection that was reset; the one that is founded anew goes on from them.
        ceilings: by role the highest version that the next file may have, after the service's recovery.
    """

    current: Mapping[str, Key]
    pending: Mapping[str, Key] = field(default_factory=dict)
    last: Mapping[str, int] = field(default_factory=dict)
    ceilings: Mapping[str, int] = field(default_factory=dict)


class TrustService(Protocol):
    """The service that a GUN's host names.

    Every call authenticates with what ``trustkit login`` or Docker's configuration holds for the host.  Errors:
    LoginRequired and RoleMissing for 401 and 403 (with every missing role in ``context["missing"]``), NoCollection
    only for our own 404 body, TrustDisabled, otherwise CouldNotCheck; a Rejected leaf or Conflict (with the current
    versions in ``context["versions"]``) for a refused publish.
    """

    def require_publish(self, gun: Gun) -> None:
        """Finds out, before a key is made or a passphrase asked for, whether we may publish (TRUST 8.1)."""
        ...

    def online_keys(self, gun: Gun) -> Mapping[str, Key]:
        """The service's public keys for ``snapshot`` and ``timestamp``; it makes them where it has none."""
        ...

    def service_keys(self, gun: Gun) -> ServiceKeys:
        """The same with what else the next root has to know."""
        ...

    def stage_online_keys(self, gun: Gun, roles: Collection[str]) -> ServiceKeys:
        """Has new keys made for these roles, where none wait for the next root yet."""
        ...

    def fetch(self, gun: Gun, file_name: str, max_length: int) -> bytes:
        """One metadata file as it is served, nothing verified; raises NotFound where the service has no such file."""
        ...

    def reset(self, gun: Gun) -> Mapping[str, int]:
        """Ends the collection; only an Owner of the repository may.  Returns the last versions by role."""
        ...

    def publish(self, gun: Gun, files: Mapping[str, bytes]) -> Mapping[str, int]:
        """Uploads all files in one request.

        Args:
            files: bytes by role name, without version.

        Returns:
            The versions that are current now, by role, the service's own included.
        """
        ...


class ImageRegistry(Protocol):
    """The registry behind a GUN's host.  Digests are computed from bytes, never taken from a header."""

    def manifest(self, gun: Gun, reference: Tag | Digest, *, registry_view: bool = False) -> ManifestBytes:
        """Fetches and hashes a manifest of at most 4 MiB.

        Args:
            registry_view: ask a trust-only gateway for the registry's tag instead of the signed one (TRUST 7.2).

        Raises:
            NotFound, DigestMismatch (the bytes are not the digest asked for), NotAllowed, CouldNotCheck,
            RegistryFailed.
        """
        ...

    def put_manifest(self, gun: Gun, reference: Tag | Digest, manifest: ManifestBytes) -> None:
        """Stores a manifest under a tag or its digest."""
        ...

    def has_blob(self, gun: Gun, digest: Digest) -> bool: ...

    def put_blob(self, gun: Gun, digest: Digest, chunks: Iterable[bytes], size: int) -> None:
        """Uploads a blob of ``size`` bytes in one pass; the registry checks the digest."""
        ...

    def blob(self, gun: Gun, digest: Digest, size: int) -> Iterator[bytes]:
        """Streams a blob and raises DigestMismatch at the end, or as soon as it is longer than ``size`` bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Pin:
    """What is accepted as the root of the GUNs of one pattern (TRUST 5.1).

    Either ``root`` holds the bytes of a root file, or ``key_ids`` the ids of root keys, of which ``threshold`` must
    have signed a root version that names the GUN; or, in format ``docker``, ``authorities`` holds the certificates,
    in PEM, of those who have to have issued the certificates of the root keys.
    """

    pattern: str
    root: bytes | None = None
    key_ids: tuple[str, ...] = ()
    threshold: int = 0
    format: str = "tuf"
    authorities: bytes | None = None


class PinStore(Protocol):
    """The pins of one TRUSTKIT_HOME.  The most specific pattern that matches a GUN wins."""

    def find(self, gun: Gun) -> Pin | None: ...
    def list(self) -> list[Pin]: ...

    def add(self, pin: Pin, *, replace: bool = False) -> None:
        """Raises Conflict where the pattern is pinned otherwise and ``replace`` is False."""
        ...

    def remove(self, pattern: str) -> None:
        """Raises NotFound."""
        ...

    def follow(self, old: Pin, new: Pin) -> Pin | None:
        """Puts a pin of one GUN in the place of the one that it came from, which stays where it is a pattern's.

        Where the GUN is pinned otherwise meanwhile, by somebody else who followed or by a person, that stays.

        Returns:
            The pin that is there afterwards; None where the old one isn't these pins' to change.

        Raises:
            StateError: it can't be written.
        """
        ...


@dataclass(frozen=True, slots=True)
class CollectionFiles:
    """The verified files of a collection: bytes by role, exactly as fetched."""

    files: Mapping[str, bytes]


class KeptMetadata(Protocol):
    """What was verified here before, without asking anybody."""

    def kept(self, gun: Gun, pin: Pin) -> Mapping[str, bytes] | None:
        """The files that were verified last under a pin, by role, expired or not; None where there are none."""
        ...

    def verified_at(self, gun: Gun, pin: Pin) -> datetime | None:
        """When that was, by this machine's clock; None where only the files themselves can say how old they are."""
        ...


class MetadataSource(Protocol):
    """Fetches a collection's metadata and verifies it against a pin (TRUST 6)."""

    def first_root(self, gun: Gun, *, wire: str = "tuf") -> bytes:
        """``1.root.json`` as served, believed by nobody yet.

        Args:
            wire: the format of the collection that is asked for.

        Raises:
            NoCollection: the service's own word that there is none; NotAllowed, CouldNotCheck.
        """
        ...

    def refresh(self, gun: Gun, pin: Pin, now: datetime, *, tags: Collection[Tag] | None = None) -> CollectionFiles:
        """The current files, after the whole TUF client workflow at ``now``.

        Args:
            tags: the delegated roles that answer for these tags are enough, and the bins that they lie in; None for
                all, ``Near`` for all roles and these bins.

        Raises:
            NotTrusted and its leaves, NotAllowed.
        """
        ...

    def carry(self, gun: Gun, pin: Pin, files: Mapping[str, bytes]) -> None:
        """Begins under one pin where another one ends: what is older than ``files`` doesn't count under it either.

        Args:
            files: as verified just now under the other pin, by role; their root meets this one.  What was verified
                under this pin before stays as it is.
        """
        ...


class FormerSource(Protocol):
    """Where the roots of a collection are that may have gone from one format to another; believed by nobody yet."""

    def tuf_roots(self, gun: Gun) -> Iterator[bytes]:
        """Roots in format ``tuf``: what was verified here, then ``1.root.json``, ``2.root.json``, ... as served.

        Raises:
            NoCollection: the service's own word that there is none; NotAllowed, CouldNotCheck.
        """
        ...

    def docker_roots(self, gun: Gun, pin: Pin) -> Iterator[bytes]:
        """Roots in format ``docker``: what was verified here under a pin, then all that are served.

        Raises:
            NotAllowed, CouldNotCheck.
        """
        ...


class LookingSource(Protocol):
    """Fetches a collection's metadata as it stands, for who renews it or tells of it; never to be trusted."""

    def look(self, gun: Gun, pin: Pin) -> CollectionFiles:
        """The current files, verified in everything but expiry and kept nowhere.

        Raises:
            NotTrusted and its leaves, Expired excepted; NotAllowed.
        """
        ...
