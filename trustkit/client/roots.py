"""A root as people look at it: its roles, their keys, and who signed it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tuf.api.metadata import Root

from trustkit.core.formats.tuf1 import payload_digest, read, write_time
from trustkit.core.publickeys import algorithm
from trustkit.core.roots import root_signers

ROLES = ("root", "targets", "snapshot", "timestamp")
PEOPLE = {"targets": "repository"}
"""What the role's keys are called."""


@dataclass(frozen=True, slots=True)
class KeyShown:
    """One key; ``signed`` says whether it has signed this root, which a root key that is merely listed has not."""

    id: str
    algorithm: str
    signed: bool


@dataclass(frozen=True, slots=True)
class RoleShown:
    """One role; ``name`` is that of its keys: ``root``, ``repository``, ``snapshot``, ``timestamp``."""

    name: str
    threshold: int
    keys: tuple[KeyShown, ...]


@dataclass(frozen=True, slots=True)
class RootShown:
    """A root; ``digest`` is the SHA-256, in hex, of what its signatures cover."""

    version: int
    expires: datetime
    digest: str
    roles: tuple[RoleShown, ...]

    def document(self) -> dict[str, object]:
        """For JSON."""
        return {
            "version": self.version,
            "expires": write_time(self.expires),
            "sha256": self.digest,
            "roles": {
                role.name: {
                    "threshold": role.threshold,
                    "keys": [{"id": key.id, "algorithm": key.algorithm, "signed": key.signed} for key in role.keys],
                }
                for role in self.roles
            },
        }


def root_shown(data: bytes) -> RootShown:
    """A verified root file, to be shown."""
    metadata = read(data, Root)
    return shown(metadata.signed, root_signers(metadata))


def shown(root: Root, signers: frozenset[str]) -> RootShown:
    """A root that these root keys have signed, to be shown."""
    roles = tuple(
        RoleShown(
            PEOPLE.get(name, name),
            root.roles[name].threshold,
            tuple(
                KeyShown(key_id, algorithm(root.keys[key_id]), name == "root" and key_id in signers)
                for key_id in root.roles[name].keyids
            ),
        )
        for name in ROLES
    )
    return RootShown(root.version, root.expires, payload_digest(root), roles)
