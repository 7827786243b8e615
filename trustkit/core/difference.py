"""What a change changes, for the person who has to agree to it or to approve it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from tuf.api.metadata import Root, TargetFile

from trustkit.core.bins import prefix_of
from trustkit.core.delegations import Delegation, Delegations
from trustkit.core.shape import Shape
from trustkit.core.targets import read_target
from trustkit.core.view import SignedTarget


@dataclass(frozen=True, slots=True)
class TagChange:
    """One tag before and after.  Digests are hex SHA-256; None where the tag isn't trusted; roles likewise.

    ``also`` are sentences about what else is trusted by the change: a digest that the tag was never signed as, or was
    but should no longer be, and manifests below an index.  Whoever signs, signs these too.
    """

    tag: str
    before: str | None
    after: str | None
    role_before: str | None
    role_after: str | None
    also: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.after is None:
            return f"{self.tag}: sha256:{self.before}, signed by {self.role_before}, is withdrawn"
        if self.before is None:
            return f"{self.tag}: sha256:{self.after} is signed by {self.role_after}"
        if self.before == self.after and self.role_before == self.role_after:
            return f"{self.tag}: sha256:{self.after} stays, signed by {self.role_after}, otherwise than before"
        if self.before == self.after and self.role_before != self.role_after:
            return f"{self.tag}: sha256:{self.after} moves from {self.role_before} to {self.role_after}"
        return f"{self.tag}: sha256:{self.before} becomes sha256:{self.after}, signed by {self.role_after}"


@dataclass(frozen=True, slots=True)
class Difference:
    """Between two states of a collection.

    Attributes:
        tags: the tags that differ, in order.
        rules: sentences about keys, thresholds and signers that differ.
        renewed: the roles that get a new version and are otherwise the same.
    """

    tags: tuple[TagChange, ...]
    rules: tuple[str, ...]
    renewed: tuple[str, ...]

    @property
    def lost(self) -> tuple[TagChange, ...]:
        """Tags that stop being trusted."""
        return tuple(change for change in self.tags if change.after is None)

    def lines(self) -> list[str]:
        """All of it, a sentence a line."""
        renewed = [f"{role} is signed anew" for role in self.renewed] if not self.tags and not self.rules else []
        tags = [line for change in self.tags for line in (str(change), *(f"  {also}" for also in change.also))]
        return [*self.rules, *tags, *renewed]


def difference(before: Shape, after: Shape) -> Difference:
    """What differs between two states."""
    old, new = before.entries, after.entries
    moved = _holders(before, after)
    tags = tuple(
        _tag(path, old.get(path), new.get(path))
        for path in sorted({*old, *new})
        if _differs(path, old, new) and not (moved and _stays(old.get(path), new.get(path), *moved))
    )
    rules = (*_of_root(before.root, after.root), *_of_delegations(before.delegations, after.delegations))
    renewed = [
        role for role, file in after.files.items() if prefix_of(role) is None and _newer(before, role, file.version)
    ]
    rules = (*rules, *_of_bins(before, after, [change.tag for change in tags]))
    if after.root.version > before.root.version:
        renewed.insert(0, "root")
    return Difference(tags, rules, tuple(renewed))


def _holders(before: Shape, after: Shape) -> tuple[str, str] | None:
    """Who held the hash bins and who does now, where that is somebody else: their tags stay where they lie."""
    old, new = before.places.bins, after.places.bins
    return (old.holder, new.holder) if old and new and new.same_files(old) and new.holder != old.holder else None


def _of_bins(before: Shape, after: Shape, tags: Collection[str]) -> Iterator[str]:
    """What becomes of the hash bins, for who has to sign each of them; those that a changed tag lies in apart."""
    bins = after.places.bins
    if bins is None:
        return
    if (moved := _holders(before, after)) is not None:
        yield f"the tags in the {len(bins.names)} hash bins of {moved[0]} are signed by {moved[1]} from now on"
    newer = [name for name in bins.names if name in after.files and _newer(before, name, after.files[name].version)]
    if not bins.same_files(before.places.bins):
        yield f"the tags of {bins.holder} lie in {len(bins.names)} bins from now on, each a file that is signed"
    elif count := len(set(newer) - {bins.of(tag) for tag in tags}):
        yield f"{count} of the {len(bins.names)} bins of {bins.holder} are signed anew, their tags as they are"


def _newer(before: Shape, role: str, version: int) -> bool:
    return role not in before.files or before.files[role].version < version


def _differs(path: str, old: Mapping[str, tuple[str, TargetFile]], new: Mapping[str, tuple[str, TargetFile]]) -> bool:
    return old.get(path) != new.get(path)


def _stays(old: tuple[str, TargetFile] | None, new: tuple[str, TargetFile] | None, was: str, will: str) -> bool:
    """Whether a tag is what it was, in the bins that one role held before and another one holds now."""
    return old is not None and new is not None and (old[0], new[0]) == (was, will) and old[1] == new[1]


def _tag(path: str, old: tuple[str, TargetFile] | None, new: tuple[str, TargetFile] | None) -> TagChange:
    was = read_target(path, old[1], old[0]) if old else None
    will = read_target(path, new[1], new[0]) if new else None
    return TagChange(
        path,
        old[1].hashes["sha256"] if old else None,
        new[1].hashes["sha256"] if new else None,
        old[0] if old else None,
        new[0] if new else None,
        tuple(_also(was, will)) if will else (),
    )


def _also(was: SignedTarget | None, will: SignedTarget) -> Iterator[str]:
    """What else than the tag's digest is trusted from now on, and a type that isn't what it was."""
    until = {old.digest: old.until for old in was.superseded} if was else {}
    for old in will.superseded:
        if until.get(old.digest) == old.until:
            continue
        never = was is None or (old.digest != was.digest and old.digest not in until)
        words = ", which it was never signed as before," if never else ""
        yield f"sha256:{old.digest.hex}{words} may be pulled by digest until {old.until:%Y-%m-%d %H:%M} UTC"
    for child in will.children:
        if was is None or child not in was.children:
            yield f"sha256:{child.hex}, said to be below it, is trusted by digest too"
    if was is not None and was.digest == will.digest and was.media_type != will.media_type:
        yield f"it is signed as {will.media_type} instead of {was.media_type}"


def root_changes(old: Root, new: Root) -> list[str]:
    """What differs in who may sign what, a sentence each."""
    return list(_of_root(old, new))


def _of_root(old: Root, new: Root) -> Iterator[str]:
    for name, role in new.roles.items():
        before = old.roles[name]
        yield from _of_keys(name, before.keyids, role.keyids, before.threshold, role.threshold)


def _of_keys(name: str, before: list[str], after: list[str], old_threshold: int, new_threshold: int) -> Iterator[str]:
    for key_id in after:
        if key_id not in before:
            yield f"key {key_id} may sign {name} from now on"
    for key_id in before:
        if key_id not in after:
            yield f"key {key_id} may no longer sign {name}"
    if old_threshold != new_threshold:
        yield f"{name} takes {new_threshold} signature{'' if new_threshold == 1 else 's'} instead of {old_threshold}"


def _of_delegations(old: Delegations | None, new: Delegations | None) -> Iterator[str]:
    before, after = _by_name(old), _by_name(new)
    for name, role in after.items():
        if name not in before:
            yield f"{name}, with the keys {', '.join(role.key_ids)}, signs {_paths(role)} from now on"
        else:
            was = before[name]
            yield from _of_keys(name, list(was.key_ids), list(role.key_ids), was.threshold, role.threshold)
            if was.paths != role.paths:
                yield f"{name} signs {_paths(role)} instead of {_paths(was)}"
    for name in before:
        if name not in after:
            yield f"{name} signs nothing any more"
    kept = [name for name in before if name in after]
    if kept != [name for name in after if name in before]:
        yield f"the signers are asked in the order {', '.join(after)}"


def _by_name(delegations: Delegations | None) -> Mapping[str, Delegation]:
    return {role.name: role for role in delegations.roles} if delegations else {}


def _paths(role: Delegation) -> str:
    return ", ".join(role.paths)
