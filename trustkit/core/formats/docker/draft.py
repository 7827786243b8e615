"""The next state of a collection in format ``docker`` while it is being made: pure; others sign it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from tuf.api.metadata import DelegatedRole, Metadata, Root, Snapshot, TargetFile, Targets

from trustkit.core.difference import Difference, TagChange
from trustkit.core.formats.docker.build import new_targets, next_snapshot
from trustkit.core.formats.docker.files import read
from trustkit.core.formats.docker.keys import DockerKey, key_of
from trustkit.core.formats.docker.payloads_in import PrefixRole
from trustkit.core.formats.docker.roles import RELEASES, TARGETS, is_delegation, parent
from trustkit.core.formats.docker.roots import check_threshold
from trustkit.core.formats.docker.tree import Node, read_tree
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.names import Gun
from trustkit.errors import BadSignature, KeyMissing, Unsigned, WrongFormat

Holds = Callable[[str, Iterable[DockerKey]], bool]
"""Whether a key that may sign a role is here."""

SNAPSHOT_LIFE = "targets"
"""Stock clients have a snapshot live as long as targets."""


class DockerDraft:
    """A collection's files, to be changed.

    Args:
        files: the verified current ones by role, every delegation's among them.
        holds: whether one of the keys that may sign a role is here: where a tag goes depends on it.
        floors: by role a version that is used up, of roles that have no file now.
    """

    def __init__(
        self,
        gun: Gun,
        files: Mapping[str, bytes],
        *,
        now: datetime,
        lifetimes: Lifetimes,
        holds: Holds,
        floors: Mapping[str, int] | None = None,
    ) -> None:
        self.gun, self.now = gun, now
        self.holds = holds
        self._life, self._floors = lifetimes, floors or {}
        self._base = files
        self.before: Metadata[Root] = read(files["root"], Root)
        self.root: Root = read(files["root"], Root).signed
        tree = read_tree(files, self.root, read(files[TARGETS], Targets), read)
        self.files: dict[str, Targets] = {n.name: n.file.signed for n in tree.values() if n.file and _counts(tree, n)}
        self._was = dict(self.entries())
        self._rules: list[str] = []
        self.changed: set[str] = set()
        self.dropped: set[str] = set()

    @property
    def difference(self) -> Difference:
        """What a consumer would see change."""
        after = self.entries()
        tags = [_tag(path, self._was.get(path), after.get(path)) for path in sorted({*self._was, *after})]
        renewed = tuple(sorted(self.changed))
        return Difference(tuple(tag for tag in tags if tag is not None), tuple(self._rules), renewed)

    @property
    def delegated(self) -> Mapping[str, DelegatedRole]:
        """The direct delegations of ``targets``."""
        delegations = self.files[TARGETS].delegations
        return (delegations.roles or {}) if delegations else {}

    def keys(self, role: str) -> list[DockerKey]:
        """The keys that may sign a role's file."""
        if not is_delegation(role):
            return [key_of(self.root.keys[key_id]) for key_id in self.root.roles[role].keyids]
        delegations = self.files[parent(role)].delegations if parent(role) in self.files else None
        found = (delegations.roles or {}).get(role) if delegations else None
        if delegations is None or found is None:
            return []
        return [key_of(delegations.keys[key_id]) for key_id in found.keyids if key_id in delegations.keys]

    def threshold(self, role: str) -> int:
        """How many keys have to sign a role's file."""
        return self.delegated[role].threshold if is_delegation(role) else self.root.roles[role].threshold

    def entries(self) -> dict[str, tuple[str, TargetFile]]:
        """By name what Docker would take, and from which role."""
        found = {path: (TARGETS, entry) for path, entry in self.files[TARGETS].targets.items()}
        if RELEASES in self.delegated and RELEASES in self.files:
            released = self.files[RELEASES].targets.items()
            found |= {p: (RELEASES, entry) for p, entry in released if self._allows(RELEASES, p)}
        return found

    def put(self, entries: Iterable[TargetFile]) -> None:
        """Signs these where Docker signs a tag: in the delegations whose keys are here, else in ``targets``.

        The one of them that Docker pulls by is never left out: ``targets/releases`` where it is delegated the name.
        """
        for entry in entries:
            for role in self._roles_of(entry.path):
                self._file(role).targets[entry.path] = entry
                self.changed.add(role)

    def _roles_of(self, path: str) -> list[str]:
        grants = RELEASES if RELEASES in self.delegated and self._allows(RELEASES, path) else TARGETS
        own = [
            role
            for role in self.delegated
            if role != RELEASES and self._allows(role, path) and self.holds(role, self.keys(role))
        ]
        return [grants, *own]

    def drop(self, paths: Iterable[str]) -> None:
        """Withdraws these names wherever Docker takes them from, and from the other delegations whose keys are here.

        Raises:
            Unsigned: one of them isn't signed.
        """
        wanted = list(paths)
        there = self.entries()
        if missing := sorted(set(wanted) - set(there)):
            raise Unsigned(f"{self.gun} does not sign {', '.join(missing)}.", gun=str(self.gun))
        for role, file in self.files.items():
            if role in (TARGETS, RELEASES) or (role in self.delegated and self.holds(role, self.keys(role))):
                for path in set(wanted) & set(file.targets):
                    del file.targets[path]
                    self.changed.add(role)

    def delegate(self, role: str, keys: Iterable[DockerKey]) -> None:
        """Has ``targets`` delegate every name to a role, by these keys; other paths that it has stay."""
        made = {key.keyid: key for key in keys}
        targets = self.files[TARGETS]
        assert targets.delegations is not None  # noqa: S101 - the reader makes them
        there = self.delegated.get(role)
        paths, threshold = (list(there.paths or ()), there.threshold) if there else ([""], 1)
        if threshold > max(len(made), 1):
            raise WrongFormat(
                f"{role} of {self.gun} takes {threshold} signatures, which can't be changed in format docker.",
                format="docker",
            )
        roles = targets.delegations.roles
        assert roles is not None  # noqa: S101 - format docker has no bins
        roles[role] = PrefixRole(role, list(made), threshold, False, paths)
        targets.delegations.keys.update(made)
        self._tidy()
        self.changed.add(TARGETS)

    def withdraw(self, role: str) -> None:
        """Ends a delegation, and those below it."""
        targets = self.files[TARGETS]
        assert targets.delegations is not None and targets.delegations.roles is not None  # noqa: S101, PT018 - as above
        targets.delegations.roles.pop(role, None)
        self._tidy()
        self.changed.add(TARGETS)
        for name in [name for name in self.files if name == role or name.startswith(f"{role}/")]:
            self.forget(name)

    def forget(self, role: str) -> None:
        """Leaves a role's file out of the next state."""
        self.files.pop(role, None)
        self.changed.discard(role)
        self.dropped.add(role)

    def tell(self, sentence: str) -> None:
        """Adds a sentence to what whoever agrees reads."""
        self._rules.append(sentence)

    def still_signed(self, role: str) -> bool:
        """Whether the file that is served still has the signatures that its role now takes."""
        if role not in self._base:
            return True
        try:
            check_threshold(self.files[TARGETS], role, read(self._base[role], Targets), self._base[role])
        except BadSignature:
            return False
        return True

    def name_root_keys(self, role: str, keys: Iterable[DockerKey]) -> None:
        """Gives a top-level role these keys; former root certificates stay listed, as with Notary."""
        made = {key.keyid: key for key in keys}
        gone = set(self.root.roles[role].keyids) - set(made)
        self.root.roles[role].keyids = list(made)
        self.root.keys.update(made)
        used = {key_id for each in self.root.roles.values() for key_id in each.keyids}
        for key_id in gone - used if role != "root" else ():
            del self.root.keys[key_id]
        self.changed.add("root")

    def settle(self) -> None:
        """Gives each changed file its next version and expiry, and refuses what can't be signed with the keys here.

        Raises:
            KeyMissing: a role has no keys at all.
        """
        for role in sorted(self.changed):
            if not self.keys(role):
                raise KeyMissing(f"{role} of {self.gun} has no keys, so nobody can sign it.", role=role)
            signed = self.root if role == "root" else self.files[role]
            signed.version = self._next(role)
            life = self._life.default["root" if role == "root" else TARGETS]
            signed.expires = (self.now + life).replace(microsecond=0)

    def snapshot(self, signed: Mapping[str, bytes]) -> Snapshot:
        """The next snapshot, of a collection whose snapshot the publisher signs."""
        old = read(self._base["snapshot"], Snapshot).signed
        for role in self.dropped - set(signed):
            old.meta.pop(f"{role}.json", None)
        expires = (self.now + self._life.default[SNAPSHOT_LIFE]).replace(microsecond=0)
        return next_snapshot(signed, old, version=old.version + 1, expires=expires)

    def _next(self, role: str) -> int:
        if role == "root":
            return self.before.signed.version + 1
        if role in self._base and role not in self.dropped:
            return int(read(self._base[role], Targets).signed.version) + 1
        base = int(read(self._base[role], Targets).signed.version) if role in self._base else 0
        return max(base, self._floors.get(role, 0)) + 1

    def _allows(self, role: str, path: str) -> bool:
        return any(path.startswith(prefix) for prefix in self.delegated[role].paths or ())

    def _file(self, role: str) -> Targets:
        if role not in self.files:
            self.files[role] = new_targets({}, version=1, expires=self.now)
        return self.files[role]

    def _tidy(self) -> None:
        delegations = self.files[TARGETS].delegations
        assert delegations is not None  # noqa: S101 - the reader makes them
        used = {key_id for role in (delegations.roles or {}).values() for key_id in role.keyids}
        for key_id in set(delegations.keys) - used:
            del delegations.keys[key_id]


def _counts(tree: Mapping[str, Node], node: Node) -> bool:
    return node.name == TARGETS or parent(node.name) in tree


def _tag(path: str, old: tuple[str, TargetFile] | None, new: tuple[str, TargetFile] | None) -> TagChange | None:
    was, will = (_told(one) for one in (old, new))
    return None if was == will else TagChange(path, was[1], will[1], was[0], will[0])


def _told(one: tuple[str, TargetFile] | None) -> tuple[str | None, str | None]:
    return (one[0], one[1].hashes.get("sha256")) if one else (None, None)
