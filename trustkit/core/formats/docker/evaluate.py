"""What a collection's files are worth at one moment, in format ``docker``: the same question as ``core.evaluate``.

A tag is what ``targets/releases`` says where that has it, else what ``targets`` says, as Docker pulls.  Stricter than
Docker: ``targets/releases`` that is delegated to, and is expired or under-signed, refuses everything, where Docker
warns, leaves it out, and so falls back to what ``targets`` said before.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from tuf.api.exceptions import LengthOrHashMismatchError
from tuf.api.metadata import Metadata, MetaFile, Root, Signed, Snapshot, Targets, Timestamp

from trustkit.core.evaluate import AS_NOT_TRUSTED, check_not_expired, has_expired
from trustkit.core.formats.docker.before import Before
from trustkit.core.formats.docker.files import meta_name, read, role_kind
from trustkit.core.formats.docker.pulled import pulled
from trustkit.core.formats.docker.roles import RELEASES, TARGETS, parent
from trustkit.core.formats.docker.roots import check_root, check_threshold
from trustkit.core.formats.docker.tree import Node, read_tree
from trustkit.core.names import Gun, Tag
from trustkit.core.readings import Reader
from trustkit.core.records import dataclass
from trustkit.core.view import RoleState, SignedView
from trustkit.errors import BadSignature, Malformed

TOP = ("root", "timestamp", "snapshot", TARGETS)


@dataclass(frozen=True, slots=True)
class _State:
    root: Metadata[Root]
    timestamp: Metadata[Timestamp]
    snapshot: Metadata[Snapshot]
    tree: Mapping[str, Node]

    @property
    def granting(self) -> Mapping[str, Metadata[Targets]]:
        """The files that tags are taken from."""
        found = (self.tree.get(role) for role in (TARGETS, RELEASES))
        return {node.name: node.file for node in found if node and node.file}

    @property
    def signed(self) -> Mapping[str, Signed]:
        """What has to be unexpired, in the order of trust."""
        top: dict[str, Signed] = {
            "root": self.root.signed,
            "timestamp": self.timestamp.signed,
            "snapshot": self.snapshot.signed,
        }
        return top | {role: file.signed for role, file in self.granting.items()}


def evaluate(
    files: Mapping[str, bytes], gun: Gun, now: datetime, *, tags: Collection[Tag] | None = None, reader: Reader = read
) -> SignedView:
    """Judges root, timestamp, snapshot, targets and ``targets/releases`` as one state at ``now``.

    The root is taken as the anchor: whoever calls has walked to it from a pin, or holds it in its own database.

    Args:
        files: bytes by role, exactly as received: those that ``missing`` asks for, and any others.  A file of a role
            that isn't delegated to, or that snapshot doesn't name, counts for nothing.
        tags: the view may hold these only, and other tags aren't looked at; files are checked as ever.
        reader: reads the files, where the caller has one that knows some of them.

    Raises:
        Expired, SignatureInvalid, WrongCollection, Garbage: the first rule that is broken.
    """
    return _evaluate(files, gun, now, reader, tags, Before())


def evaluate_but_expiry(
    files: Mapping[str, bytes],
    gun: Gun,
    now: datetime,
    *,
    fresh: Collection[str],
    reader: Reader = read,
    before: Before = Before(),  # noqa: B008 - frozen
) -> SignedView:
    """As ``evaluate``, but only the roles of ``fresh`` have to be unexpired; the rest counts as if time stood still.

    For who renews what has expired, and who tells of it: no tag of this view may be used as trusted.

    Args:
        before: what whoever calls has seen of these very files already.

    Raises:
        Expired: one of ``fresh``; and as ``evaluate``.
    """
    view = _evaluate(files, gun, None, reader, None, before)
    for role in view.roles:
        if role.name in fresh and role.expires is not None and role.expires <= now:
            raise has_expired(role.name, role.expires, gun)
    return view


def missing(files: Mapping[str, bytes], *, attributions: bool = False, reader: Reader = read) -> frozenset[str]:
    """The roles whose files ``evaluate`` needs and ``files`` lack; ask again with them, until it is none.

    Args:
        attributions: with those that ``attributions`` looks at, every delegation.

    Raises:
        Garbage: a file that is there can't be read.
    """
    if lacking := set(TOP) - set(files):
        return frozenset(lacking)
    try:
        state = _read(files, reader)
    except tuple(AS_NOT_TRUSTED) as error:
        raise AS_NOT_TRUSTED[type(error)](str(error)) from error
    return frozenset(
        node.name
        for node in state.tree.values()
        if node.file is None and _is_named(state, node.name) and (attributions or _is_needed(node.name))
    )


def check_received(role: str, data: bytes, gun: Gun, reader: Reader = read) -> None:
    """Holds one file, just received, to what it has to be whoever signed it: see ``core.evaluate.check_received``.

    Raises:
        WrongCollection, SignatureInvalid (keys against TRUST 2), Garbage.
    """
    try:
        signed: Signed = reader(data, role_kind(role), f"{role}.json").signed
        if isinstance(signed, Root):
            check_root(signed, gun)
    except tuple(AS_NOT_TRUSTED) as error:
        raise AS_NOT_TRUSTED[type(error)](f"{gun}: {error}") from error


def _evaluate(
    files: Mapping[str, bytes],
    gun: Gun,
    now: datetime | None,
    reader: Reader,
    tags: Collection[Tag] | None,
    before: Before,
) -> SignedView:
    try:
        if lacking := set(TOP) - set(files):
            raise Malformed(f"no {', '.join(sorted(lacking))}")
        state = _read(files, reader)
        root, granting = state.root.signed, state.granting
        certified = before.root(state.root, files["root"], gun, now)
        signed_by: dict[str, tuple[Root | Targets, Metadata[Any]]] = {
            "timestamp": (root, state.timestamp),
            "snapshot": (root, state.snapshot),
            **{role: (root if role == TARGETS else granting[TARGETS].signed, granting[role]) for role in granting},
        }
        for role, (delegator, file) in signed_by.items():
            if role not in before.verified:
                check_threshold(delegator, role, file, files[role])
        _check_hashes(state, files)
        if now is not None:
            for role, signed in state.signed.items():
                check_not_expired(signed, gun, now, role)
        return _view(state, files, gun, certified, tags, before)
    except tuple(AS_NOT_TRUSTED) as error:
        raise AS_NOT_TRUSTED[type(error)](f"{gun}: {error}") from error


def _read(files: Mapping[str, bytes], reader: Reader) -> _State:
    root, snapshot = reader(files["root"], Root), reader(files["snapshot"], Snapshot)
    named = {role: data for role, data in files.items() if meta_name(role) in snapshot.signed.meta}
    tree = read_tree(named, root.signed, reader(files[TARGETS], Targets), reader)
    return _State(root, reader(files["timestamp"], Timestamp), snapshot, tree)


def _is_named(state: _State, role: str) -> bool:
    return meta_name(role) in state.snapshot.signed.meta


def _is_needed(role: str) -> bool:
    """Whether a tag's meaning can depend on the role; see ``_shadowed``."""
    return role == RELEASES or role.startswith(f"{RELEASES}/")


def _check_hashes(state: _State, files: Mapping[str, bytes]) -> None:
    _check_bytes(state.timestamp.signed.snapshot_meta, files["snapshot"], "snapshot")
    _check_bytes(state.snapshot.signed.meta[meta_name("root")], files["root"], "root")
    for node in state.tree.values():
        if node.file is not None:
            _check_bytes(state.snapshot.signed.meta[meta_name(node.name)], files[node.name], node.name)
        elif _is_named(state, node.name) and _is_needed(node.name):
            raise Malformed(f"no {node.name}")


def _check_bytes(named: MetaFile, data: bytes, role: str) -> None:
    try:
        named.verify_length_and_hashes(data)
    except LengthOrHashMismatchError as error:
        raise Malformed(f"{role} has not the length or hash that is signed for it") from error


def _view(
    state: _State,
    files: Mapping[str, bytes],
    gun: Gun,
    certified: datetime,
    tags: Collection[Tag] | None,
    before: Before,
) -> SignedView:
    signed, root = state.signed, state.root.signed
    wanted = None if tags is None else {tag.name for tag in tags}
    deciding = {"root": files["root"], **{node.name: files[node.name] for node in state.tree.values() if node.file}}
    targets = before.tags(deciding) if tags is None else None
    if targets is None:
        targets = {target.tag: target for target in pulled(state.tree, wanted, before.said)}
    return SignedView(
        gun=gun,
        targets=targets,
        expires=min(certified, *(file.expires for file in signed.values())),
        issued=None,
        versions={role: file.version for role, file in signed.items()},
        root_keys=tuple(root.roles["root"].keyids),
        target_keys=tuple(root.roles[TARGETS].keyids),
        roles=(*_top(root, signed), *_delegated(state)),
        format="docker",
    )


def _top(root: Root, signed: Mapping[str, Signed]) -> list[RoleState]:
    return [
        RoleState(name, tuple(root.roles[name].keyids), root.roles[name].threshold, file.version, file.expires)
        for name, file in signed.items()
        if name in root.roles
    ]


def _delegated(state: _State) -> list[RoleState]:
    return [
        RoleState(
            node.name,
            node.canonical_ids,
            node.threshold,
            node.file.signed.version if node.file else 0,
            node.file.signed.expires if node.file else None,
            paths=node.paths,
            grants=node.grants,
        )
        for node in state.tree.values()
        if node.name != TARGETS
    ]


def attributions(
    files: Mapping[str, bytes], view: SignedView, now: datetime, *, reader: Reader = read
) -> Mapping[Tag, frozenset[str]]:
    """By tag the delegations that signed it for the digest that it is trusted for, as ``docker trust inspect`` shows.

    Names are without ``targets/``.  A delegation counts where its file, and those of its parents, are current, signed
    and unexpired.  Nothing here grants trust.

    Args:
        files: the files that ``evaluate`` made ``view`` of, those of the delegations among them.
    """
    state = _read(files, reader)
    trusted = {tag.name: target for tag, target in view.targets.items()}
    current, found = {TARGETS}, dict[Tag, set[str]]()
    for node in state.tree.values():
        above = state.tree.get(parent(node.name))
        if above is None or above.file is None or above.name not in current or node.file is None:
            continue
        if not _is_current(node.name, node.file, above.file.signed, files, now):
            continue
        current.add(node.name)
        if _is_needed(node.name):
            continue
        for path, entry in node.file.signed.targets.items():
            target = trusted.get(path)
            if target and node.allows(path) and entry.hashes.get("sha256") == target.digest.hex:
                found.setdefault(target.tag, set()).add(node.name.removeprefix(f"{TARGETS}/"))
    return {tag: frozenset(names) for tag, names in found.items()}


def _is_current(
    role: str, file: Metadata[Targets], above: Targets, files: Mapping[str, bytes], now: datetime
) -> bool:
    try:
        check_threshold(above, role, file, files[role])
    except BadSignature:
        return False
    return file.signed.expires > now
