"""A draft: the next state of a collection, made from a verified one by any number of edits, not signed yet.

Every change that a person makes goes through one: signing, signers, thresholds, rotation, renewal.  The draft knows
which files it changed, gives each the next version, and tells which keys have to sign them; it holds no private key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from datetime import datetime

from securesystemslib.signer import Key
from tuf.api.metadata import Metadata, Root, Snapshot, TargetFile, Targets

from trustkit.core.build import first_targets, next_targets
from trustkit.core.delegations import RELEASES, TARGETS, Delegation, Delegations, read_delegations, write_delegations
from trustkit.core.formats.tuf1 import meta_version, read
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.names import Gun, Tag
from trustkit.core.needs import Need, needs_of
from trustkit.core.readings import Reader
from trustkit.core.roots import check_threshold, signed_by
from trustkit.core.shape import Shape
from trustkit.errors import BadSignature, BadVersion, Rejected

MAX_JUMP = 64
"""How far the service may say that a role's version lies ahead, for proposals that were dropped (TRUST 3.4)."""


class Draft:
    """The next state of a collection.

    Args:
        files: the verified current files by role, snapshot included.
        floors: by role a version that was used up without being published; the next one lies above it.
        reader: reads the files, where the caller has one that knows them.

    Raises:
        Malformed: a file can't be read; they were verified, so this can't happen to who got them from ``Trust``.
    """

    def __init__(
        self,
        gun: Gun,
        files: Mapping[str, bytes],
        *,
        now: datetime,
        lifetimes: Lifetimes,
        floors: Mapping[str, int] | None = None,
        reader: Reader = read,
    ) -> None:
        self.gun = gun
        self.now = now
        self._life, self._longest = lifetimes.default, lifetimes.longest
        self._floors = floors or {}
        self._files = files
        self._snapshot = reader(files["snapshot"], Snapshot).signed
        self._old_root = reader(files["root"], Root)
        self._old = _delegated(files, self._old_root.signed, reader)
        self._root: Root | None = None
        self._edited: dict[str, Targets] = {}
        self.ready: dict[str, bytes] = {}
        """Files that were signed elsewhere and go as they are, by role."""

    @property
    def root(self) -> Root:
        """The root as the draft has it; change it through ``edit_root``."""
        return self._root or self._old_root.signed

    @property
    def old_root(self) -> Root:
        """The root that the draft started from."""
        return self._old_root.signed

    def edit_root(self) -> Root:
        """The next root, to be changed in place; its expiry is a whole life from now."""
        if self._root is None:
            self._root = deepcopy(self._old_root.signed)
            self._root.version += 1
            self._root.expires = (self.now + self._life["root"]).replace(microsecond=0)
        return self._root

    def adopt_root(self, data: bytes) -> None:
        """Takes a next root that was signed elsewhere, by enough keys of the old and of the new one.

        Raises:
            BadVersion: it doesn't follow the root that the draft started from.
            BadSignature, Malformed.
        """
        signed = read(data, Root)
        if signed.signed.version != self.old_root.version + 1:
            raise BadVersion(
                f"The root of {self.gun} is at {self.old_root.version}; {signed.signed.version} can't follow it."
            )
        for delegator in (self.old_root, signed.signed):
            check_threshold(delegator, "root", signed)
        self._root = signed.signed
        self.ready["root"] = data

    def take(self, root: Root | None, files: Mapping[str, Targets]) -> None:
        """Takes the files that somebody else proposes, which have been examined (``core.approval``), as edited."""
        self._root = root or self._root
        self._edited |= files

    def targets(self, role: str = TARGETS) -> Targets | None:
        """A role's file as the draft has it; None where it has none yet."""
        if role in self._edited:
            return self._edited[role]
        return self._old[role].signed if role in self._old else None

    def edit(self, role: str = TARGETS) -> Targets:
        """The next version of a role's file, to be changed in place; an empty first one where there is none.

        A name that was in use before goes on at the version after its last (TRUST 3.4).
        """
        if role not in self._edited:
            life = self._life["targets"]
            used = max(self.version(role), self._floor(role))
            if role in self._old:
                following = next_targets(self._old[role].signed, now=self.now, life=life)
                following.version = used + 1
            else:
                following = first_targets(self.gun, now=self.now, life=life, version=used + 1)
            self._edited[role] = following
        return self._edited[role]

    def version(self, role: str) -> int:
        """The version of a role's file that the draft started from, 0 where it never had one; not for root."""
        return meta_version(self._snapshot.meta, role) or 0

    def latest_expiry(self, role: str) -> datetime:
        """The latest expiry that a role's file may have (TRUST 3.3)."""
        return self.now + self._longest["root" if role == "root" else TARGETS]

    def _floor(self, role: str) -> int:
        current = self.version(role)
        floor = self._floors.get(role, 0)
        if floor > current + MAX_JUMP:
            raise Rejected(
                f"The service says that {role} of {self.gun} is at version {floor}, {floor - current} after the one "
                f"that it serves; nothing is signed that far ahead.",
                hint="Ask the service's operator what happened.",
            )
        return floor

    @property
    def delegations(self) -> Delegations | None:
        """Who may sign which tags in the draft; raises BadDelegation where an edit broke the shape."""
        return read_delegations(self._certain(TARGETS), self.root)

    def owner(self, tag: Tag) -> str:
        """The role that answers for a tag in the draft."""
        delegations = self.delegations
        return delegations.owner(tag.name).name if delegations else TARGETS

    def entries(self) -> dict[str, tuple[str, TargetFile]]:
        """Every tag that the draft trusts, with its role and entry."""
        return dict(self.after.entries)

    def put(self, entries: Iterable[TargetFile]) -> None:
        """Signs tags: each goes to the role that answers for it."""
        delegations = self.delegations
        for entry in entries:
            role = delegations.owner(entry.path).name if delegations else TARGETS
            self.edit(role).targets[entry.path] = entry

    def drop(self, tags: Iterable[str]) -> None:
        """Withdraws tags that are signed."""
        there = self.entries()
        for tag in tags:
            self.edit(there[tag][0]).targets.pop(tag)

    def attribute(self, key_id: str) -> str | None:
        """Has the signer of this key, which is one of ``releases``, say which tags it signed.

        What the edited file of ``releases`` has otherwise than the one before is put into the signer's own file.

        Returns:
            The role whose file says so now; None where the key is no signer's, or changed no tag.
        """
        delegations = self.delegations
        role = delegations.attributions.get(key_id) if delegations else None
        changed = self._changed_paths(RELEASES)
        if role is None or not changed:
            return None
        signed, file = self._edited[RELEASES].targets, self.edit(role.name)
        file.targets = {path: entry for path, entry in file.targets.items() if path in signed}
        file.targets |= {path: signed[path] for path in changed if path in signed}
        return role.name

    def changed_tags(self, role: str) -> list[str]:
        """The tags that the draft puts, changes or drops in a role's file, in order."""
        return sorted(self._changed_paths(role))

    def _changed_paths(self, role: str) -> set[str]:
        if role not in self._edited:
            return set()
        before, after = self._old[role].signed.targets if role in self._old else {}, self._edited[role].targets
        return {path for path in {*before, *after} if before.get(path) != after.get(path)}

    def delegate(self, roles: Sequence[Delegation], keys: Mapping[str, Key]) -> None:
        """Has these roles, in this order, sign tags; every tag moves to the role that answers for it now.

        With nobody but the repository keys left, and a threshold of one, the tags go back into ``targets``.

        Args:
            keys: the public keys of the roles, by id; others are left out.
        """
        there = self.entries()
        targets = self.edit(TARGETS)
        alone = len(roles) == 1 and roles[0].threshold == 1 and set(roles[0].key_ids) <= set(self._repository)
        targets.delegations = None if alone or not roles else write_delegations(roles, keys)
        targets.targets = {}
        after = self.delegations
        for path, (role, entry) in there.items():
            owner = after.owner(path).name if after else TARGETS
            if owner != role and after is not None and after.get(role) is not None:
                self.edit(role).targets.pop(path)
            if owner != role or owner == TARGETS:
                self.edit(owner).targets[path] = entry
        gone = [role for role in self._edited if role != TARGETS and (after is None or after.get(role) is None)]
        for role in gone:
            del self._edited[role]

    @property
    def _repository(self) -> list[str]:
        return self.root.roles[TARGETS].keyids

    def settle(self) -> None:
        """Edits every file whose signatures do not carry it in the draft's state, so that it is signed anew."""
        if TARGETS not in self._edited and not _carries(self.root, TARGETS, self._old[TARGETS], self._files[TARGETS]):
            self.edit(TARGETS)
        delegations = self.delegations
        for role in delegations.trusted if delegations else ():
            old = self._old.get(role.name)
            if role.name not in self._edited and (
                old is None or not _carries(self._certain(TARGETS), role.name, old, self._files[role.name])
            ):
                self.edit(role.name)

    @property
    def changed(self) -> dict[str, Root | Targets]:
        """What has to be signed and published, by role, the delegating ones first."""
        root: dict[str, Root | Targets] = {"root": self._root} if self._root else {}
        return root | dict(sorted(self._edited.items(), key=lambda item: item[0] != TARGETS))

    def needs(self, role: str) -> list[Need]:
        """Who has to sign a changed role: the new root is signed by the old root's keys, too."""
        return needs_of(role, old_root=self.old_root, root=self.root, targets=self._certain(TARGETS))

    def signed_by(self, role: str, keys: Mapping[str, Key]) -> frozenset[str]:
        """Those of these keys whose signatures are on the file that the draft started from."""
        return signed_by(self._old[role], keys) if role in self._old else frozenset()

    @property
    def before(self) -> Shape:
        """The state that the draft started from."""
        return Shape(self._old_root.signed, {role: file.signed for role, file in self._old.items()})

    @property
    def after(self) -> Shape:
        """The state that the draft makes."""
        return Shape(self.root, {role: file.signed for role, file in self._old.items()} | self._edited)

    def _certain(self, role: str) -> Targets:
        found = self.targets(role)
        assert found is not None  # noqa: S101 - every collection has it
        return found


def _delegated(files: Mapping[str, bytes], root: Root, reader: Reader) -> dict[str, Metadata[Targets]]:
    """The files that hold tags; what lies there of roles that are delegated to no more counts for nothing."""
    targets = reader(files[TARGETS], Targets)
    delegations = read_delegations(targets.signed, root)
    names = [role.name for role in delegations.roles if role.name in files] if delegations else []
    return {TARGETS: targets} | {name: reader(files[name], Targets, f"{name}.json") for name in names}


def _carries(delegator: Root | Targets, role: str, metadata: Metadata[Targets], data: bytes) -> bool:
    try:
        check_threshold(delegator, role, metadata, data)
    except BadSignature:
        return False
    return True
