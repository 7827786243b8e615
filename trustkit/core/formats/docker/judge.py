"""The judge of format ``docker``: may this upload become the collection's next state?  Pure, as ``core.judge``.

Notary's server checks what is uploaded, and believes the rest.  Here whatever stays stored still verifies under the
new state, or leaves it; a publisher's snapshot is held against every file; and no version leaps.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tuf.api.exceptions import LengthOrHashMismatchError
from tuf.api.metadata import Metadata, Root, Snapshot, Targets

from trustkit.core.formats.docker.files import meta_name, read, role_kind
from trustkit.core.formats.docker.history import Former, check_former
from trustkit.core.formats.docker.keys import DockerKey, canonical_ids
from trustkit.core.formats.docker.roles import TARGETS, check_role, parent
from trustkit.core.formats.docker.roots import check_root, check_root_at, check_successor, check_threshold
from trustkit.core.formats.docker.tree import Node, read_tree
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.names import Gun, shown
from trustkit.core.readings import Reader
from trustkit.errors import (
    BadDelegation,
    BadExpiry,
    BadKeys,
    BadSignature,
    BadVersion,
    Conflict,
    InvalidName,
    Malformed,
    WrongOnlineKeys,
)

FIRST = 2
"""The highest version that a role may begin with: stock clients sign once at ``init`` and again when they publish."""

SNAPSHOT, TIMESTAMP, ROOT = "snapshot", "timestamp", "root"


@dataclass(frozen=True, slots=True)
class State:
    """What is stored.

    Attributes:
        files: what the current snapshot names, and that snapshot; see ``chain``.  Empty before the first publish.
        online: the service's keys by role.
        pending: those that a new root may name in the place of those.
        last: by role a file that was stored last, of roles that the snapshot names no more.
    """

    gun: Gun
    files: Mapping[str, bytes]
    online: Mapping[str, DockerKey]
    pending: Mapping[str, DockerKey] = field(default_factory=dict)
    last: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Accepted:
    """An upload that may be stored as it is.

    Attributes:
        root: that of the new state.
        files: the new state, but for the timestamp, and for a snapshot that the service makes.
        uploaded: the roles that the upload brought.
        dropped: the roles that leave the snapshot: nothing delegates to them now, or to those who signed them.
        begins: the uploaded roles that the snapshot didn't name: their versions may begin anew.
        ours: whether the service makes the snapshot.
        founding: whether this makes the collection.
        verified: the roles below ``root`` whose signatures were verified under the keys of the new state.
    """

    root: Metadata[Root]
    files: Mapping[str, bytes]
    uploaded: frozenset[str]
    dropped: frozenset[str]
    begins: frozenset[str]
    ours: bool
    founding: bool
    verified: frozenset[str]


def chain(files: Mapping[str, bytes], reader: Reader = read) -> dict[str, bytes]:
    """Of the last files of all roles those that make the current state: root, snapshot and what that names."""
    if SNAPSHOT not in files:
        return {}
    named = reader(files[SNAPSHOT], Snapshot).signed.meta
    return {role: data for role, data in files.items() if role == SNAPSHOT or meta_name(role) in named}


def judge(
    state: State,
    upload: Mapping[str, bytes],
    *,
    now: datetime,
    lifetimes: Lifetimes,
    reader: Reader = read,
    former: Former | None = None,
    verified: Collection[str] = (),
) -> Accepted:
    """Holds an upload against the stored state.

    Args:
        upload: bytes by role.
        reader: reads the files, where the caller has one that remembers them.
        former: what a collection brings along from another trust server, where the operator allowed that: its root
            follows the last of those, and its other files may begin with any version.
        verified: roles whose stored files were verified, these very bytes, under the keys that the stored files give
            them.  Where neither changes, they aren't verified again.

    Raises:
        Rejected: a leaf for each rule broken; nothing may be stored.
        Conflict: a version that somebody else has taken; the context has the current ones.
    """
    return _Judging(state, upload, now, lifetimes, reader, former or {}, verified)()


class _Judging:
    def __init__(
        self, state: State, upload: Mapping[str, bytes], now: datetime, lifetimes: Lifetimes, reader: Reader,
        former: Former, verified: Collection[str],
    ) -> None:  # fmt: skip
        self._state = state
        self._upload = upload
        self._now = now
        self._lifetimes = lifetimes
        self._reader = reader
        self._former = former
        self._verified_before = verified
        _check_roles(state, upload)

    def __call__(self) -> Accepted:
        state, upload = self._state, self._upload
        root = self._root()
        ours = self._snapshot_is_ours(root.signed)
        named = {role: data for role, data in {**state.files, **upload}.items() if role not in (ROOT, SNAPSHOT)}
        targets = self._reader(named[TARGETS], Targets)
        tree = read_tree(named, root.signed, targets, self._reader)
        kept = self._verified(root.signed, tree, named)
        for role in sorted(upload):
            if role != ROOT:
                self._check_uploaded(role)
        files = {ROOT: upload.get(ROOT) or state.files[ROOT]} | {role: named[role] for role in kept}
        if ours and SNAPSHOT in upload:
            raise BadSignature("The snapshot's key is the service's, which makes the snapshot itself.", role=SNAPSHOT)
        if not ours:
            self._check_snapshot(root.signed, files, tree)
            files[SNAPSHOT] = upload[SNAPSHOT]
        return Accepted(
            root,
            files,
            uploaded=frozenset(upload),
            dropped=frozenset(state.files) - {SNAPSHOT, *files},
            begins=frozenset(upload) - set(state.files),
            ours=ours,
            founding=not state.files,
            verified=frozenset(kept) if ours else frozenset({SNAPSHOT, *kept}),
        )

    def _file(self, role: str) -> Metadata[Any]:
        return self._reader(self._upload[role], role_kind(role), f"{role}.json")

    def _root(self) -> Metadata[Root]:
        gun, data = self._state.gun, self._upload.get(ROOT)
        if data is None:
            return self._reader(self._state.files[ROOT], Root)
        root: Metadata[Root] = self._file(ROOT)
        self._check_uploaded(ROOT)
        if self._state.files:
            check_successor(self._reader(self._state.files[ROOT], Root), root, data, gun)
        elif self._former:
            check_successor(check_former(self._former, gun, reader=self._reader), root, data, gun)
        else:
            check_root(root.signed, gun)
            check_threshold(root.signed, ROOT, root, data)
        ends = check_root_at(root, data, self._now)
        if ends < self._now + self._lifetimes.shortest:
            raise BadExpiry(f"The certificates of root.json end at {ends:%Y-%m-%d %H:%M} UTC.", role=ROOT)
        return root

    def _snapshot_is_ours(self, root: Root) -> bool:
        """Holds a root to the service's keys; whether the snapshot's is one of them."""
        timestamps = {key.keyid for key in self._known(TIMESTAMP)}
        snapshots = {key.keyid for key in self._known(SNAPSHOT)}
        if len(root.roles[TIMESTAMP].keyids) != 1 or not set(root.roles[TIMESTAMP].keyids) <= timestamps:
            raise WrongOnlineKeys("The root has to name the service's timestamp key, and no other one.")
        ours = canonical_ids([*self._known(TIMESTAMP), *self._known(SNAPSHOT)])
        for role in (ROOT, TARGETS, SNAPSHOT):
            named = root.roles[role].keyids
            if role == SNAPSHOT and len(named) == 1 and set(named) <= snapshots:
                continue
            if canonical_ids(root.keys[key_id] for key_id in named) & ours:
                raise WrongOnlineKeys(f"The root names a key of the service for {role}, which is not its own there.")
        return set(root.roles[SNAPSHOT].keyids) <= snapshots

    def _known(self, role: str) -> list[DockerKey]:
        return [keys[role] for keys in (self._state.online, self._state.pending) if role in keys]

    def _verified(self, root: Root, tree: Mapping[str, Node], data: Mapping[str, bytes]) -> set[str]:
        """The roles below ``targets`` that stay; what is uploaded and doesn't verify is refused."""
        kept = set[str]()
        for node in tree.values():
            if node.file is None:
                continue
            above = tree.get(parent(node.name))
            try:
                if node.name == TARGETS:
                    if not self._stays(TARGETS, ROOT):
                        check_threshold(root, TARGETS, node.file, data[TARGETS])
                elif above is None or above.file is None or above.name not in kept:
                    raise BadSignature(f"{above.name if above else node.name} has no file that counts.")
                elif not self._stays(node.name, above.name):
                    check_threshold(above.file.signed, node.name, node.file, data[node.name])
            except BadSignature as error:
                self._refuse(node.name, error)
            else:
                kept.add(node.name)
        for role in sorted(set(self._upload) - {ROOT, SNAPSHOT} - set(tree)):
            raise BadDelegation(f"Nothing delegates to {role}.", role=role)
        return kept

    def _stays(self, role: str, above: str) -> bool:
        """Whether a role's file was verified as it is, and neither it nor what names its keys is uploaded."""
        return role in self._verified_before and not self._upload.keys() & {role, above}

    def _refuse(self, role: str, error: BadSignature) -> None:
        if role in self._upload:
            raise error
        if role == TARGETS:
            raise BadSignature(
                "With this root, the targets that are stored would have too few valid signatures, and nobody could "
                "read the collection.",
                hint="Sign targets anew in the same publish.",
                role=TARGETS,
            ) from error

    def _check_uploaded(self, role: str) -> None:
        """Version and expiry of an uploaded file."""
        signed = self._file(role).signed
        before = self._state.files.get(role)
        if before is None:
            if signed.version > FIRST and not self._former:
                raise BadVersion(f"{role}.json begins with version {signed.version}, not 1 or {FIRST}.", role=role)
        else:
            self._check_next(role, signed.version, self._reader(before, role_kind(role)).signed.version)
        longest = self._lifetimes.longest[ROOT if role == ROOT else TARGETS]
        if not self._lifetimes.shortest <= signed.expires - self._now <= longest + timedelta(days=1):
            raise BadExpiry(
                f"{role}.json expires at {signed.expires:%Y-%m-%d %H:%M} UTC; at most {longest.days} days from now "
                "are allowed, and an hour at least.",
                role=role,
            )

    def _check_next(self, role: str, version: int, stored: int) -> None:
        if version <= stored:
            raise Conflict(
                f"Somebody else has published since: {role} is at version {stored} already.",
                hint="Run it again.",
                versions={role: stored},
            )
        if version > stored + 1:
            raise BadVersion(f"{role}.json has version {version}, and {stored + 1} is the next one.", role=role)

    def _check_snapshot(self, root: Root, files: Mapping[str, bytes], tree: Mapping[str, Node]) -> None:
        """Holds a publisher's snapshot against every file, uploaded or not."""
        if SNAPSHOT not in self._upload:
            raise Malformed(
                "The upload has no snapshot, and this collection's snapshot key is not the service's.",
                hint="Sign the snapshot, too, or have the service hold its key: notary key rotate GUN snapshot -r",
            )
        data = self._upload[SNAPSHOT]
        snapshot: Metadata[Snapshot] = self._file(SNAPSHOT)
        check_threshold(root, SNAPSHOT, snapshot, data)
        for name, meta in snapshot.signed.meta.items():
            role = name.removesuffix(".json")
            found = files.get(role) or self._state.files.get(role) or self._state.last.get(role)
            if role in tree and role not in files and tree[role].file is not None:
                raise BadSignature(
                    f"{role} would have too few valid signatures, and the snapshot names it all the same.",
                    hint=f"Sign it anew in the same publish: notary witness {self._state.gun} {role}",
                    role=role,
                )
            try:
                if found is None:
                    raise Malformed(f"The snapshot names {role}, of which there is no file.")
                meta.verify_length_and_hashes(found)
            except LengthOrHashMismatchError as error:
                raise Malformed(f"The snapshot names another {role} than the one that is stored.") from error
        if lacking := {meta_name(role) for role in files} - set(snapshot.signed.meta):
            raise Malformed(f"The snapshot doesn't name {', '.join(sorted(lacking))}.")


def _check_roles(state: State, upload: Mapping[str, bytes]) -> None:
    for role in upload:
        try:
            check_role(role)
        except InvalidName as error:
            raise Malformed(error.message, hint=error.hint) from error
    if TIMESTAMP in upload:
        raise Malformed("The timestamp is the service's own, and can't be uploaded.")
    if not state.files and (lacking := {ROOT, TARGETS} - set(upload)):
        raise Malformed(f"{shown(str(state.gun))} has no collection yet, and the upload has no "
                        f"{' and no '.join(sorted(lacking))}.")  # fmt: skip
    if set(state.online) != {SNAPSHOT, TIMESTAMP}:
        raise BadKeys("The service has no keys for this collection.")
