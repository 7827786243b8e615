"""A draft: the next state of a collection, made from a verified one by any number of edits, not signed yet.

Every change that a person makes goes through one: signing, signers, thresholds, rotation, renewal.  The draft knows
which files it changed, gives each the next version, and tells which keys have to sign them; it holds no private key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from securesystemslib.signer import Key
from tuf.api.metadata import Root, TargetFile, Targets

from trustkit.core.attributing import Attributing
from trustkit.core.bins import Bins, holder_keys, holder_of, next_prefix, peek_bins
from trustkit.core.delegations import TARGETS, Delegation, write_delegations
from trustkit.core.draftfiles import carries, changed_paths
from trustkit.core.edits import MAX_JUMP as MAX_JUMP
from trustkit.core.formats.tuf1 import read
from trustkit.core.growth import Growth
from trustkit.core.names import Tag
from trustkit.core.needs import Need, needs_of
from trustkit.core.roots import check_threshold
from trustkit.errors import BadVersion


class Draft(Attributing):
    """The next state of a collection; arguments and what it raises as of ``Edits``."""

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

    def owner(self, tag: Tag) -> str:
        """The role that answers for a tag in the draft."""
        return self.places.owner(tag.name)

    def entries(self) -> dict[str, tuple[str, TargetFile]]:
        """Every tag that the draft trusts, with its role and entry."""
        return dict(self.after.entries)

    def put(self, entries: Iterable[TargetFile]) -> None:
        """Signs tags: each goes to the role that answers for it."""
        places = self.places
        for entry in entries:
            self.edit(places.file_of(entry.path)).targets[entry.path] = entry

    def drop(self, tags: Iterable[str]) -> None:
        """Withdraws tags that are signed."""
        places = self.places
        for tag in tags:
            self.edit(places.file_of(tag)).targets.pop(tag)

    def changed_tags(self, role: str) -> list[str]:
        """The tags that the draft puts, changes or drops in a role's file, in order."""
        before, after = (
            shape.files[role].targets if role in shape.files else {} for shape in (self.before, self.after)
        )
        return sorted(changed_paths(before, after))

    def delegate(self, roles: Sequence[Delegation], keys: Mapping[str, Key]) -> None:
        """Has these roles, in this order, sign tags; every tag moves to the role that answers for it now.

        With nobody but the repository keys left, and a threshold of one, ``targets`` holds the tags again.  Bins stay
        what they are, and go with their holder.

        Args:
            keys: the public keys of the roles, by id; others are left out.
        """
        self._require_whole()
        before, there = self.places, self.entries()
        targets = self.edit(TARGETS)
        alone = len(roles) == 1 and roles[0].threshold == 1 and set(roles[0].key_ids) <= set(self._repository)
        targets.delegations = None if alone or not roles else write_delegations(roles, keys)
        targets.targets = {}
        if before.bins is not None:
            self._hold(before.bins)
        after = self.places
        kept = {
            TARGETS,
            *after.files,
            *(role.name for role in (after.delegations.roles if after.delegations else ())),
        }
        for path, (_, entry) in there.items():
            was, now = before.file_of(path), after.file_of(path)
            if was != now and was != TARGETS and was in kept:
                self.edit(was).targets.pop(path)
            if was != now or now == TARGETS:
                self.edit(now).targets[path] = entry
        for role in [role for role in self._edited if role not in kept]:
            del self._edited[role]

    def grow(self, growth: Growth) -> Bins | None:
        """Has the tags lie in hash bins from now on, where there are too many of them for one file.

        Returns:
            The bins; None where nothing changed.
        """
        holder = holder_of(self.delegations)
        file = self.targets(holder)
        entries = file.targets if file is not None else {}
        if self.places.bins is not None or not 0 < growth.above < len(entries):
            return None
        self._require_whole()
        prefix = next_prefix(name.removesuffix(".json") for name in self._snapshot.meta)
        bins = Bins(holder, prefix, growth.bits, *holder_keys(self.delegations, self.root))
        self._hold(bins)
        for name in bins.names:
            self.edit(name)
        for path, entry in entries.items():
            self._edited[bins.of(path)].targets[path] = entry
        return bins

    def _hold(self, bins: Bins) -> None:
        """Has whoever holds tags delegate to these bins, with the keys that it has now."""
        holder = holder_of(self.delegations)
        keys, threshold = holder_keys(self.delegations, self.root)
        wanted, there = Bins(holder, bins.prefix, bins.bits, keys, threshold), self.targets(holder)
        named = None if there is None else peek_bins(holder, there)
        if named is None or named != wanted or list(named.keys) != list(keys):
            file = self.edit(holder)
            file.targets, file.delegations = {}, wanted.write()

    @property
    def _repository(self) -> list[str]:
        return self.root.roles[TARGETS].keyids

    def settle(self) -> None:
        """Edits every file whose signatures do not carry it in the draft's state, so that it is signed anew."""
        if TARGETS not in self._edited and not carries(self.root, TARGETS, self._old[TARGETS], self._files[TARGETS]):
            self.edit(TARGETS)
        places = self.places
        if places.bins is not None and (self._root or TARGETS in self._edited):
            self._hold(places.bins)
        for role in places.roles:
            old = self._old.get(role)
            if role not in {TARGETS, *self._edited} and (old is None or not self._carried(TARGETS, role)):
                self.edit(role)
        if places.bins is not None and places.bins.holder in self._edited:
            for name in places.bins.names:
                if name in self._old and name not in self._edited and not self._carried(places.bins.holder, name):
                    self.edit(name)

    def _carried(self, delegator: str, role: str) -> bool:
        return carries(self._certain(delegator), role, self._old[role], self._files[role])

    @property
    def changed(self) -> dict[str, Root | Targets]:
        """What has to be signed and published, by role, the delegating ones first."""
        root: dict[str, Root | Targets] = {"root": self._root} if self._root else {}
        return root | dict(sorted(self._edited.items(), key=lambda item: item[0] != TARGETS))

    def needs(self, role: str) -> list[Need]:
        """Who has to sign a changed role: the new root is signed by the old root's keys, too."""
        holder = self._said_by(role)
        return needs_of(role, old_root=self.old_root, root=self.root, targets=self._certain(TARGETS), holder=holder)
