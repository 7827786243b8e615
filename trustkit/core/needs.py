"""Who has to sign a file, and who hasn't yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from securesystemslib.signer import Key
from tuf.api.metadata import Metadata, Root, Targets

from trustkit.core.bins import prefix_of
from trustkit.core.delegations import RELEASES, TARGETS
from trustkit.core.roots import signed_by

OLD_ROOT = "the old root"
NEW_ROOT = "the new root"
THE_ROOT = "the root"


@dataclass(frozen=True, slots=True)
class Need:
    """So many of these keys have to sign one file, because ``delegator`` says so."""

    role: str
    delegator: str
    keys: Mapping[str, Key]
    threshold: int


@dataclass(frozen=True, slots=True)
class Lack:
    """``count`` more signatures of any of these keys are missing from one role's file."""

    role: str
    delegator: str
    count: int
    key_ids: tuple[str, ...]


def needs_of(role: str, *, old_root: Root, root: Root, targets: Targets, holder: str | None = None) -> list[Need]:
    """Who has to sign a role's file: the next root is signed by the old root's keys, too (TRUST 3.3).

    A hash bin is signed as its holder is (TRUST 4.3).

    Args:
        root, targets: of the state that the file belongs to.
        holder: the role that a hash bin is of; by default the one whose tags lie in bins.
    """
    if role == "root":
        return [_need(role, words, side) for words, side in {OLD_ROOT: old_root, NEW_ROOT: root}.items()]
    if prefix_of(role) is not None:
        signers = targets.delegations is not None and targets.delegations.roles
        holder = holder or (RELEASES if signers else TARGETS)
        return [replace(need, role=role) for need in needs_of(holder, old_root=old_root, root=root, targets=targets)]
    return [_need(role, THE_ROOT, root) if role == TARGETS else _need(role, TARGETS, targets)]


def _need(role: str, words: str, delegator: Root | Targets) -> Need:
    asked = delegator.get_delegated_role(role)
    keys = (
        delegator.keys if isinstance(delegator, Root) else delegator.delegations.keys if delegator.delegations else {}
    )
    return Need(role, words, {key_id: keys[key_id] for key_id in asked.keyids}, asked.threshold)


def signers_of(need: Need, metadata: Metadata[Any]) -> frozenset[str]:
    """The ids of the keys of this need that have validly signed."""
    return signed_by(metadata, need.keys)


def lack_of(need: Need, metadata: Metadata[Any]) -> Lack | None:
    """What a file lacks of one need; None where it has enough valid signatures."""
    signed = signers_of(need, metadata)
    if len(signed) >= need.threshold:
        return None
    rest = tuple(key_id for key_id in need.keys if key_id not in signed)
    return Lack(need.role, need.delegator, need.threshold - len(signed), rest)
