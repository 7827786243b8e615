"""Putting one key in the place of another: edits of a draft (TRUST 2.3, 3.3).

An edit may be called again on another state, when somebody else published first.  So each of them knows three cases:
the old key is there and is replaced; the new one is there in its place already, and nothing is left to do; or neither
is, which means that somebody else rotated meanwhile, and is said rather than guessed at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from securesystemslib.signer import Key
from tuf.api.metadata import Root

from trustkit.core.delegations import TARGETS, Delegation, Delegations, Kind, write_delegations
from trustkit.core.draft import Draft
from trustkit.core.names import Gun, SignerName
from trustkit.core.publickeys import check_key
from trustkit.core.signers import replace_signer
from trustkit.errors import Conflict, KeyMissing, Unsigned, UsageError

ROOT = "root"
_WORDS = {ROOT: "root", TARGETS: "repository"}


def key_to_replace(root: Root, role: str, wanted: str | None, gun: Gun) -> str:
    """The id of the key of ``role`` that a rotation ends.

    Args:
        role: ``root`` or ``targets``.
        wanted: the beginning of its id; needed where the role has several keys.

    Raises:
        KeyMissing: no key of the role begins like this.
        UsageError: several do, or several are there and none was named.
    """
    there = root.roles[role].keyids
    found = [key_id for key_id in there if key_id.startswith(wanted or "")]
    if len(found) == 1:
        return found[0]
    names = ", ".join(key_id[:16] for key_id in there)
    if not found:
        raise KeyMissing(f"No {_WORDS[role]} key of {gun} begins with {wanted}; they are {names}.", role=role)
    raise UsageError(
        f"{gun} has {len(there)} {_WORDS[role]} keys: {names}.", hint="Say which one to replace with --replace ID."
    )


def rotate_root(draft: Draft, old: str, new: Key) -> None:
    """Puts a root key in the place of another one.

    Raises:
        Conflict: the old one is no root key any more, or the new one is used here for something else.
        KeyUnsupported: a new key of a type that isn't allowed.
    """
    if _exchange_in_root(draft, ROOT, old, new):
        _check_free(draft, new, ROOT)


def rotate_repository(draft: Draft, old: str, new: Key) -> None:
    """Puts a repository key in the place of another one, in the root and in each delegated role that names it.

    Raises:
        as ``rotate_root``.
    """
    before = draft.delegations
    if _exchange_in_root(draft, TARGETS, old, new):
        _check_free(draft, new, TARGETS)
        carry_delegations(draft, before, {old}, [new])


def rotate_signer(draft: Draft, name: SignerName, old: str, new: Key, *, signs_here: bool) -> None:
    """Gives a signer another key in the place of ``old``; its tags stay, signed anew.

    Args:
        signs_here: whether the new key can sign: then it says anew which tags were this signer's.

    Raises:
        Conflict: the signer has another key by now.
        NotFound: there is no such signer.
    """
    delegations = draft.delegations
    role = delegations.get(name.name) if delegations else None
    if role is not None and old not in role.key_ids:
        if new.keyid in role.key_ids:
            return
        raise Conflict(
            f"{name} has another key than {old[:16]} in {draft.gun} by now; somebody else replaced it meanwhile.",
            hint=f"See: trustkit signer list {draft.gun}",
        )
    replace_signer(draft, name, new, resign=True)
    if role is not None and role.kind is Kind.ATTRIBUTION and signs_here and draft.targets(name.name) is not None:
        draft.say_again(name.name)


def carry_delegations(draft: Draft, before: Delegations | None, gone: Collection[str], new: Sequence[Key]) -> None:
    """Has repository keys that came with a new root stand in each delegated role where the ones that went stood.

    Args:
        before: the delegations under the old root.
        gone: the ids of repository keys that the new root no longer names.
        new: those that it names anew.

    Raises:
        UsageError: a role would have fewer keys than its threshold.
    """
    if before is None or not (set(gone) & set(before.keys)):
        return
    ids = [key.keyid for key in new]
    roles = [_carried(role, gone, ids) if set(role.key_ids) & set(gone) else role for role in before.roles]
    draft.edit(TARGETS).delegations = write_delegations(roles, {**before.keys, **{key.keyid: key for key in new}})


def _carried(role: Delegation, gone: Collection[str], new: Sequence[str]) -> Delegation:
    """The new keys stand where the first of the old ones stood: the order of keys means nothing to TUF."""
    at = next(index for index, key_id in enumerate(role.key_ids) if key_id in gone)
    kept = [key_id for key_id in role.key_ids if key_id not in gone]
    kept[at:at] = [key_id for key_id in new if key_id not in kept]
    if len(kept) < role.threshold:
        raise UsageError(
            f"{role.name} takes {role.threshold} signatures, and would have {len(kept)} keys left.",
            hint=f"First: trustkit threshold set GUN --role {role.name} {max(len(kept), 1)}",
        )
    return replace(role, key_ids=tuple(kept))


def withdraw(draft: Draft, tags: Iterable[str]) -> None:
    """Withdraws tags in the publish of a rotation, so that the new key never signs what a thief signed.

    Raises:
        Unsigned: one of them isn't signed.
    """
    there = draft.entries()
    wanted = list(dict.fromkeys(tags))
    if missing := [tag for tag in wanted if tag not in there]:
        raise Unsigned(f"{draft.gun} does not sign {', '.join(missing)}.", gun=str(draft.gun))
    draft.drop(wanted)


def _exchange_in_root(draft: Draft, role: str, old: str, new: Key) -> bool:
    """Whether a key was exchanged; False where the new one stands there in the old one's place already."""
    check_key(new)
    there = draft.root.roles[role].keyids
    if old not in there:
        if new.keyid in there:
            return False
        raise Conflict(
            f"{old[:16]} is no {_WORDS[role]} key of {draft.gun} any more; somebody else rotated it meanwhile.",
            hint="Look at who did, then run the command again to rotate the key that is there now.",
            keys=list(there),
        )
    root = draft.edit_root()
    at = root.roles[role].keyids.index(old)
    root.revoke_key(old, role)
    if new.keyid not in root.roles[role].keyids:
        root.add_key(new, role)
        root.roles[role].keyids.remove(new.keyid)
        root.roles[role].keyids.insert(at, new.keyid)
    if len(root.roles[role].keyids) < root.roles[role].threshold:
        raise Conflict(f"{new.keyid[:16]} is a {_WORDS[role]} key of {draft.gun} already.")
    return True


def _check_free(draft: Draft, key: Key, role: str) -> None:
    """One key, one purpose: a thief of one would have the other, and the ids would no longer say who signed."""
    for name, other in draft.old_root.roles.items():
        if name != role and key.keyid in other.keyids:
            raise Conflict(f"The key {key.keyid[:16]} stands in the root of {draft.gun} already, for {name}.")
    targets = draft.before.files.get(TARGETS)
    if targets is not None and targets.delegations and key.keyid in targets.delegations.keys:
        repository = draft.old_root.roles[TARGETS].keyids
        if key.keyid not in repository:
            raise Conflict(f"The key {key.keyid[:16]} is a signer's in {draft.gun}; a {_WORDS[role]} key is its own.")
