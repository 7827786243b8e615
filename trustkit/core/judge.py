"""The judge: may this upload become the collection's next state?  Pure; the caller has the transaction (TRUST 3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from securesystemslib.signer import Key
from tuf.api.metadata import Metadata, Root, Targets

from trustkit.core.formats.tuf1 import read
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.names import Gun
from trustkit.core.roots import ONLINE, check_gun, check_root_keys, check_threshold
from trustkit.core.targets import MAX_SUPERSEDE, read_target
from trustkit.core.view import SignedTarget
from trustkit.errors import BadDelegation, BadExpiry, BadTarget, BadVersion, Conflict, Malformed, WrongOnlineKeys

UPLOADABLE = frozenset({"root", "targets"})


@dataclass(frozen=True, slots=True)
class State:
    """What is stored: the current files by role (empty before the first publish) and the service's online keys."""

    gun: Gun
    files: Mapping[str, bytes]
    online: Mapping[str, Key]


@dataclass(frozen=True, slots=True)
class Accepted:
    """An upload that may be stored as it is.

    Attributes:
        root, targets: the collection's state afterwards, uploaded or stored.
        uploaded: the roles that the upload brought.
        changed: tags that the upload signs anew or differently; None for a tag that is withdrawn.
    """

    root: Metadata[Root]
    targets: Metadata[Targets]
    uploaded: frozenset[str]
    changed: Mapping[str, SignedTarget | None]

    @property
    def founding(self) -> bool:
        """Whether this makes the collection."""
        return "root" in self.uploaded and self.root.signed.version == 1


def judge(state: State, upload: Mapping[str, bytes], *, now: datetime, lifetimes: Lifetimes) -> Accepted:
    """Holds an upload against the stored state.

    Args:
        upload: bytes by role.

    Raises:
        Rejected: a leaf for each rule broken; nothing may be stored.
        Conflict: a version that somebody else has taken; the context has the current ones.
    """
    _check_roles(state, upload)
    stored_root = read(state.files["root"], Root) if "root" in state.files else None
    stored = read(state.files["targets"], Targets) if "targets" in state.files else None
    if "root" in upload:
        root = read(upload["root"], Root)
        _judge_root(state, root, stored_root, now, lifetimes)
    else:
        assert stored_root is not None  # noqa: S101 - _check_roles saw to it
        root = stored_root
    if "targets" in upload:
        targets = read(upload["targets"], Targets)
        changed = _judge_targets(state, targets, stored, now, lifetimes)
    else:
        assert stored is not None  # noqa: S101 - _check_roles saw to it
        targets, changed = stored, {}
    check_threshold(root.signed, "targets", targets)
    return Accepted(root, targets, frozenset(upload), changed)


def _check_roles(state: State, upload: Mapping[str, bytes]) -> None:
    if not upload:
        raise Malformed("The upload has no file.")
    for role in upload:
        if role in ONLINE:
            raise Malformed(f"{role}.json is made by the service and can't be uploaded.")
        if role not in UPLOADABLE:
            raise BadDelegation(f"This service has no delegations; it can't take {role[:64]!r}.")
    if not state.files and set(upload) != UPLOADABLE:
        raise Malformed(
            f"{state.gun} has no collection yet; its first upload needs root and targets.",
            hint="Run trustkit init, or sign a tag.",
        )


def _judge_root(
    state: State, new: Metadata[Root], old: Metadata[Root] | None, now: datetime, lifetimes: Lifetimes
) -> None:
    _check_version("root", new.signed.version, old.signed.version if old else 0, state)
    check_gun(new.signed, state.gun)
    check_root_keys(new.signed)
    _check_expiry("root", new.signed.expires, now, lifetimes)
    for role in ONLINE:
        named = new.signed.roles[role]
        if named.threshold != 1 or named.keyids != [state.online[role].keyid]:
            raise WrongOnlineKeys(
                f"The root does not name exactly the service's {role} key.", hint="Fetch the online keys again."
            )
    if old is not None:
        check_threshold(old.signed, "root", new)
    check_threshold(new.signed, "root", new)


def _judge_targets(
    state: State, new: Metadata[Targets], old: Metadata[Targets] | None, now: datetime, lifetimes: Lifetimes
) -> dict[str, SignedTarget | None]:
    _check_version("targets", new.signed.version, old.signed.version if old else 0, state)
    check_gun(new.signed, state.gun)
    _check_expiry("targets", new.signed.expires, now, lifetimes)
    if new.signed.delegations is not None:
        raise BadDelegation("targets.json has delegations, which this service does not take yet.")
    before = old.signed.targets if old else {}
    changed: dict[str, SignedTarget | None] = {}
    for path, entry in new.signed.targets.items():
        if path in before and before[path] == entry:
            continue  # judged when it was stored
        target = read_target(path, entry, "targets")
        _check_superseded(target, now)
        changed[path] = target
    changed |= dict.fromkeys(path for path in before if path not in new.signed.targets)
    return changed


def _check_superseded(target: SignedTarget, now: datetime) -> None:
    if any(old.until > now + MAX_SUPERSEDE for old in target.superseded):
        raise BadTarget(f"Tag {target.tag} keeps a superseded digest for more than {MAX_SUPERSEDE.days} days.")


def _check_version(role: str, new: int, stored: int, state: State) -> None:
    if new == stored + 1:
        return
    if new <= stored:
        raise Conflict(
            f"{role} of {state.gun} is at version {stored} already.",
            hint="Fetch the current state and apply the change to it.",
            versions={role: stored},
        )
    raise BadVersion(f"{role} of {state.gun} is at version {stored}; {new} can't follow it.")


def _check_expiry(role: str, expires: datetime, now: datetime, lifetimes: Lifetimes) -> None:
    longest = lifetimes.longest[role]
    if not now + lifetimes.shortest <= expires <= now + longest:
        raise BadExpiry(
            f"{role}.json expires at {expires:%Y-%m-%d %H:%M}; the service takes {lifetimes.shortest} to "
            f"{longest.days} days from now.",
            hint="Check this machine's clock.",
        )
