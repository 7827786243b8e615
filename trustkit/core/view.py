"""The signed view of a collection: what a verifier that checked everything may believe, and until when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from functools import cached_property

from trustkit.core.manifests import INDEXES
from trustkit.core.names import Digest, Gun, Tag
from trustkit.core.records import dataclass


@dataclass(frozen=True, slots=True)
class Superseded:
    """A digest that the tag had before, and until when it may still be pulled by digest (TRUST 4.4)."""

    digest: Digest
    until: datetime


@dataclass(frozen=True, slots=True)
class SignedTarget:
    """A tag with the manifest it was signed for.  ``length`` is in bytes, ``role`` the TUF role that answered.

    ``media_type`` is empty where the format doesn't say it, as Docker's doesn't: it may be an image or an index then.
    ``children`` are the manifests below an index that were signed along with it, each trusted by digest as it is.
    """

    tag: Tag
    digest: Digest
    length: int
    media_type: str
    role: str
    superseded: tuple[Superseded, ...] = ()
    children: tuple[Digest, ...] = ()


@dataclass(frozen=True, slots=True)
class RoleState:
    """One role of a collection: who may sign its file, and until when the file counts.

    ``expires`` is None for a role that has no file; ``paths`` is empty for the top-level roles.
    """

    name: str
    key_ids: tuple[str, ...]
    threshold: int
    version: int
    expires: datetime | None
    paths: tuple[str, ...] = ()
    grants: bool = True


@dataclass(frozen=True)
class SignedView:
    """Everything that a collection signs, verified at one moment.

    Attributes:
        expires: the earliest expiry of any role involved; nothing here may be believed from then on.
        issued: when the service signed the timestamp.
        versions: the version of each role's file.
        root_keys: the ids of the root role's keys.
        roles: every role that was looked at, the delegated ones in their order.
        format: the collection's.
        bins: the names of the hash bins that the tags lie in; empty where they lie in their role's own file.
            ``versions`` has those that were looked at, and ``targets`` has their tags alone.
        expiries: when each file expires that was looked at, by role.
    """

    gun: Gun
    targets: Mapping[Tag, SignedTarget]
    expires: datetime
    issued: datetime | None
    versions: Mapping[str, int]
    root_keys: tuple[str, ...]
    target_keys: tuple[str, ...]
    roles: tuple[RoleState, ...] = ()
    format: str = "tuf"
    bins: tuple[str, ...] = ()
    expiries: Mapping[str, datetime] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Whether every bin was looked at; tags that aren't here may be signed otherwise."""
        return not self.bins or set(self.bins) <= self.versions.keys()

    @property
    def releases(self) -> str:
        """The delegation that answers for what no signer has to itself."""
        return "releases" if self.format == "tuf" else "targets/releases"

    @property
    def signers(self) -> tuple[RoleState, ...]:
        """The roles of signers, in the order in which they are asked."""
        return tuple(role for role in self.roles if role.paths and role.name != self.releases)

    @cached_property
    def named(self) -> Mapping[Digest, SignedTarget]:
        """The digests that signed tags name, each with one of the tags that do."""
        return {target.digest: target for target in reversed(list(self.targets.values()))}

    @cached_property
    def recorded(self) -> Mapping[Digest, SignedTarget]:
        """The digests that were signed along as children, each with one of the tags above."""
        return {child: target for target in self.targets.values() for child in target.children}

    @cached_property
    def superseded(self) -> Mapping[Digest, datetime]:
        """The digests that tags had before, each with the latest moment until which it may be pulled."""
        until: dict[Digest, datetime] = {}
        for target in self.targets.values():
            for former in target.superseded:
                until[former.digest] = max(former.until, until.get(former.digest, former.until))
        return until

    @cached_property
    def indexes(self) -> tuple[Digest, ...]:
        """The signed digests that are indexes, or may be, in order."""
        return tuple(sorted({t.digest for t in self.targets.values() if t.media_type in INDEXES or not t.media_type}))
