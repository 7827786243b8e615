"""The files that one evaluation looks at, by what they are, and the view that they make."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import TypeAlias

from tuf.api.metadata import Metadata, Root, Signed, Snapshot, Targets, Timestamp

from trustkit.core.bins import Bins, Near, check_named, holder_of, owners_of, read_bins, wanted_bins
from trustkit.core.delegations import TARGETS, Delegations, Kind, read_delegations
from trustkit.core.formats.tuf1 import issued, meta_version
from trustkit.core.names import Gun, Tag
from trustkit.core.readings import Reader
from trustkit.core.records import dataclass
from trustkit.core.targets import read_target
from trustkit.core.view import RoleState, SignedTarget, SignedView
from trustkit.errors import BadDelegation, Malformed

Delegated: TypeAlias = Mapping[str, Metadata[Targets]]
Known: TypeAlias = tuple[Metadata[Root], Metadata[Targets], Delegated]


@dataclass(frozen=True, slots=True)
class RoleFiles:
    """The files of one state by what they are; nothing is verified yet."""

    root: Metadata[Root]
    timestamp: Metadata[Timestamp]
    snapshot: Metadata[Snapshot]
    targets: Metadata[Targets]
    delegations: Delegations | None
    bins: Bins | None
    delegated: Delegated

    def delegator(self, role: str) -> Root | Targets:
        """The file that says who signs a role below the root, which is ``targets`` or delegated."""
        if role == TARGETS:
            return self.root.signed
        if self.bins is None or self.bins.holder == TARGETS or role not in self.bins:
            return self.targets.signed
        return self.delegated[self.bins.holder].signed

    def granting(self, role: str) -> str:
        """The role whose tags a file has: of a bin its holder."""
        return self.bins.holder if self.bins is not None and role in self.bins else role

    @property
    def signed(self) -> Mapping[str, Signed]:
        """By role, in the order of trust."""
        top: dict[str, Signed] = {
            "root": self.root.signed,
            "timestamp": self.timestamp.signed,
            "snapshot": self.snapshot.signed,
            "targets": self.targets.signed,
        }
        return top | {role: metadata.signed for role, metadata in self.delegated.items()}


def read_files(
    files: Mapping[str, bytes],
    known: Known | None,
    tags: Collection[Tag] | None,
    only: Collection[str] | None,
    reader: Reader,
) -> RoleFiles:
    """The files that an evaluation looks at; arguments as of ``evaluate``.

    Raises:
        Malformed: a file is missing, or can't be read.
        BadDelegation: the delegations have another shape than ours.
    """
    _require(files, {"root", "timestamp", "snapshot", "targets"})
    root, targets, there = known or (reader(files["root"], Root), reader(files["targets"], Targets), {})
    delegations = read_delegations(targets.signed, root.signed)
    wanted = trusted_roles(delegations, tags)
    _require(files, wanted)

    def read_role(role: str) -> Metadata[Targets]:
        return there.get(role) or reader(files[role], Targets, f"{role}.json")

    ordered = [role.name for role in delegations.trusted if role.name in wanted] if delegations else []
    delegated = {role: read_role(role) for role in ordered}
    holder = holder_of(delegations)
    found = {TARGETS: targets, **delegated}.get(holder)
    bins = read_bins(delegations, root.signed, found.signed) if found else None
    owners = None if tags is None else owners_of(delegations, tags)
    lying = [name for name in wanted_bins(bins, owners) if only is None or name in only]
    _require(files, lying)
    delegated |= {name: read_role(name) for name in lying}
    for role, metadata in {TARGETS: targets, **delegated}.items():
        check_named(role, metadata.signed)
    for role, metadata in delegated.items():
        if metadata.signed.delegations is not None and role != holder:
            raise BadDelegation(f"{role}.json delegates further")
    timestamp, snapshot = reader(files["timestamp"], Timestamp), reader(files["snapshot"], Snapshot)
    return RoleFiles(root, timestamp, snapshot, targets, delegations, bins, delegated)


def _require(files: Mapping[str, bytes], roles: Collection[str]) -> None:
    if lacking := set(roles) - set(files):
        raise Malformed(f"no {', '.join(sorted(lacking)[:8])}")


def trusted_roles(delegations: Delegations | None, tags: Collection[Tag] | None) -> frozenset[str]:
    """The delegated roles whose files an evaluation needs: those that grant trust, all or for ``tags``; no bins."""
    if delegations is None:
        return frozenset()
    if tags is None or isinstance(tags, Near):
        return frozenset(role.name for role in delegations.trusted)
    return frozenset(delegations.owner(tag.name).name for tag in tags)


def view_of(roles: RoleFiles, gun: Gun, said: Mapping[str, SignedTarget]) -> SignedView:
    """What the files say, once they are verified; raises BadTarget, BadDelegation for a tag that isn't theirs.

    Args:
        said: by path what was read of an entry that is in one of the files.
    """
    signed, root = roles.signed, roles.root.signed
    targets: dict[Tag, SignedTarget] = {}
    for role, file in {"targets": roles.targets, **roles.delegated}.items():
        granting = roles.granting(role)
        for path, entry in file.signed.targets.items():
            known = said.get(path)
            target = read_target(path, entry, granting) if known is None or known.role != granting else known
            if roles.delegations is not None and roles.delegations.owner(path).name != granting:
                raise BadDelegation(f"{role}.json holds {path}, which another role answers for")
            if granting != role and roles.bins is not None and roles.bins.of(path) != role:
                raise BadDelegation(f"{role}.json holds {path}, which another bin is for")
            targets[target.tag] = target
    return SignedView(
        gun=gun,
        targets=targets,
        expires=min(file.expires for file in signed.values()),
        issued=issued(roles.timestamp.signed),
        versions={role: file.version for role, file in signed.items()},
        root_keys=tuple(root.roles["root"].keyids),
        target_keys=tuple(root.roles["targets"].keyids),
        roles=(*_top(root, signed, roles.bins), *_delegated(roles)),
        bins=roles.bins.names if roles.bins else (),
        expiries={role: file.expires for role, file in signed.items()},
    )


def _top(root: Root, signed: Mapping[str, Signed], bins: Bins | None) -> list[RoleState]:
    return [
        RoleState(name, tuple(role.keyids), role.threshold, signed[name].version, _expires(name, signed, bins))
        for name, role in root.roles.items()
    ]


def _expires(role: str, signed: Mapping[str, Signed], bins: Bins | None) -> datetime | None:
    """Until when a role's own file counts, and those of its bins that were looked at."""
    if role not in signed:
        return None
    files = [signed[role]]
    if bins is not None and role == bins.holder:
        files += [file for name, file in signed.items() if name in bins]
    return min(file.expires for file in files)


def _delegated(roles: RoleFiles) -> list[RoleState]:
    return [
        RoleState(
            role.name,
            role.key_ids,
            role.threshold,
            meta_version(roles.snapshot.signed.meta, role.name) or 0,
            _expires(role.name, roles.signed, roles.bins),
            paths=role.paths,
            grants=role.kind is not Kind.ATTRIBUTION,
        )
        for role in (roles.delegations.roles if roles.delegations else ())
    ]
