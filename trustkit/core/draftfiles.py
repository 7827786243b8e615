"""The files that a draft starts from."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from tuf.api.metadata import Metadata, Root, TargetFile, Targets

from trustkit.core.delegations import RELEASES, TARGETS, read_delegations
from trustkit.core.places import peek_places
from trustkit.core.readings import Reader
from trustkit.core.roots import check_threshold
from trustkit.core.saidbins import peek_said
from trustkit.core.shape import Shape
from trustkit.errors import BadSignature


def files_with_tags(files: Mapping[str, bytes], root: Root, reader: Reader) -> dict[str, Metadata[Targets]]:
    """The files that hold tags; what lies there of roles that are delegated to no more counts for nothing."""
    found = {TARGETS: reader(files[TARGETS], Targets)}
    delegations = read_delegations(found[TARGETS].signed, root)
    names = [role.name for role in delegations.roles if role.name in files] if delegations else []
    found |= {name: reader(files[name], Targets, f"{name}.json") for name in names}
    heads = {role: file.signed for role, file in found.items()}
    bins = peek_places(root, heads).bins
    names = [name for name in bins.names if name in files] if bins else []
    for said in peek_said(delegations, heads).values():
        names += [name for name in said.names if name in files]
    return found | {name: reader(files[name], Targets, f"{name}.json") for name in names}


def entries_of(shape: Shape, role: str) -> dict[str, TargetFile]:
    """The tags that a role answers for, in its file or its bins."""
    return {path: entry for path, (holder, entry) in shape.entries.items() if holder == role}


def carries(delegator: Root | Targets, role: str, metadata: Metadata[Targets], data: bytes | None = None) -> bool:
    """Whether a file's signatures carry it under a delegator, as that is now."""
    try:
        check_threshold(delegator, role, metadata, data)
    except BadSignature:
        return False
    return True


def changed_paths(before: Mapping[str, TargetFile], after: Mapping[str, TargetFile]) -> set[str]:
    """The tags that differ."""
    return {path for path in {*before, *after} if before.get(path) != after.get(path)}


def attributed(said: Mapping[str, TargetFile], changed: Collection[str], after: Shape) -> dict[str, TargetFile]:
    """What a signer of ``releases`` says in one file that it signed, once it has signed what changes.

    Args:
        said: what its file says so far; of bins that aren't here, it stays as it is.
        changed: the tags of this file that the signer has signed otherwise, or withdrawn.
        after: the state with the change.
    """
    places, signed = after.places, entries_of(after, RELEASES)
    kept = {path: entry for path, entry in said.items() if path in signed or places.file_of(path) not in after.files}
    return kept | {path: signed[path] for path in changed if path in signed}
