"""Adding, replacing and removing signers: edits of a draft (TRUST 4.1, 4.2).

The repository keys stand in every role that grants trust.  So whoever holds one can withdraw or sign anew what a
signer signed, also when that signer's key is lost or stolen, and no removal leaves a file that nobody can mend.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from securesystemslib.signer import Key

from trustkit.core.delegations import ANY_PATH, RELEASES, TARGETS, Delegation, Delegations, Kind, check_path_pattern
from trustkit.core.draft import Draft
from trustkit.core.names import SignerName
from trustkit.core.publickeys import check_key
from trustkit.core.saidbins import peek_said
from trustkit.errors import Conflict, NotFound, UsageError


def add_signer(
    draft: Draft,
    name: SignerName,
    key: Key,
    *,
    paths: Sequence[str] = (),
    before: SignerName | None = None,
) -> None:
    """Lets a key sign: everything that no limited signer has to itself, or tags of these patterns alone.

    Tags that are signed already and match move to the new signer's role, signed by the repository key.

    Args:
        key: the signer's public key.
        paths: patterns of tags, such as ``v*``; none for every path, as one of ``releases``.
        before: the limited signer that shall be asked after this one; the new one is asked last of them by default.

    Raises:
        Conflict: the name, or the key under another name, signs here already.
        NotFound: ``before`` isn't one that is limited to paths.
        InvalidName, KeyUnsupported: a pattern that matches no tag; a key of a type that isn't allowed.
    """
    check_key(key)
    own = tuple(dict.fromkeys(check_path_pattern(path) for path in paths))
    roles, keys = _roles(draft)
    for role in roles:
        if role.name == name.name:
            raise Conflict(f"{name} signs in {draft.gun} already.", hint="To give it another key: --replace.")
        if key.keyid in role.key_ids and (role.kind is not Kind.LIMITED or not paths):
            raise Conflict(f"The key {key.keyid[:16]} signs in {draft.gun} already, in {role.name}.")
    if key.keyid in draft.root.keys:
        raise Conflict(f"The key {key.keyid[:16]} stands in the root of {draft.gun}; a signer has its own.")
    keys[key.keyid] = key
    if paths:
        made = Delegation(name.name, Kind.LIMITED, (key.keyid, *_repository(draft)), 1, own)
        roles.insert(_position(draft, roles, before), made)
    else:
        at = next(index for index, role in enumerate(roles) if role.kind is Kind.RELEASES)
        releases = roles[at]
        roles[at] = _with_keys(releases, (*releases.key_ids, key.keyid))
        roles.append(Delegation(name.name, Kind.ATTRIBUTION, (key.keyid,), 1, (ANY_PATH,)))
    draft.delegate(roles, keys)


def remove_signer(draft: Draft, name: SignerName, *, resign: bool) -> None:
    """Ends a signer's right to sign, in the one publish that the draft becomes.

    Args:
        resign: keep what this signer alone had signed, signed anew by the keys that are left; otherwise it is
            withdrawn, which is right when the key may be stolen.

    Raises:
        NotFound: there is none of this name.
        UsageError: ``releases`` would have fewer keys than its threshold.
    """
    roles, keys = _roles(draft)
    gone = _existing(draft, roles, name)
    lost = [] if resign else sorted(signed_alone(draft, name))
    draft.drop(lost)
    left = [role for role in roles if role.name != name.name]
    if gone.kind is Kind.ATTRIBUTION:
        at = next(index for index, role in enumerate(left) if role.kind is Kind.RELEASES)
        rest = tuple(key_id for key_id in left[at].key_ids if key_id not in gone.key_ids)
        if len(rest) < left[at].threshold:
            raise UsageError(
                f"releases of {draft.gun} takes {left[at].threshold} signatures; {len(rest)} keys would be left.",
                hint=f"First: trustkit threshold set {draft.gun} --role releases {max(len(rest), 1)}",
            )
        left[at] = _with_keys(left[at], rest)
    draft.delegate(left, keys)


def replace_signer(draft: Draft, name: SignerName, key: Key, *, resign: bool) -> None:
    """Gives a signer another key, at the same place and with the same paths; what happens to its tags, see above.

    Raises:
        NotFound, Conflict: see above.
    """
    roles, _ = _roles(draft)
    there = _existing(draft, roles, name)
    if key.keyid in there.key_ids:
        raise Conflict(f"{name} has this key already.")
    lost = [] if resign else sorted(signed_alone(draft, name))
    draft.drop(lost)
    roles, keys = _roles(draft)
    old = set(there.key_ids) - set(_repository(draft))
    check_key(key)
    if key.keyid in keys or key.keyid in draft.root.keys:
        raise Conflict(f"The key {key.keyid[:16]} signs in {draft.gun} already.")
    keys[key.keyid] = key
    changed = [_exchanged(role, old, key.keyid) if _has_own(role, there) else role for role in roles]
    draft.delegate(changed, keys)


def signed_alone(draft: Draft, name: SignerName) -> frozenset[str]:
    """The tags of the draft's start that nobody but this signer has signed.

    For a limited signer, the tags of its role unless a repository key has signed that file, too; for one of
    ``releases``, the tags that its own file says it signed, as they are now, and no other signer's file does.

    Raises:
        NotFound: there is none of this name.
    """
    start = draft.before
    delegations = start.delegations
    role = _existing(draft, list(delegations.roles) if delegations else [], name)
    assert delegations is not None  # noqa: S101 - a role was found in it
    if role.kind is Kind.LIMITED:
        own = set(role.key_ids) - set(start.root.roles[TARGETS].keyids)
        others = {key_id: key for key_id, key in delegations.keys.items() if key_id in set(role.key_ids) - own}
        if draft.signed_by(role.name, others):
            return frozenset()
        return frozenset(path for path, (holder, _) in start.entries.items() if holder == role.name)
    said = _attributed(draft, delegations, role)
    by_others = [
        _attributed(draft, delegations, other) for other in delegations.attributions.values() if other != role
    ]
    return said - frozenset().union(*by_others)


def _attributed(draft: Draft, delegations: Delegations, role: Delegation) -> frozenset[str]:
    start = draft.before
    file = start.files.get(role.name)
    if file is None or RELEASES not in start.files or not draft.signed_by(role.name, _only(delegations, role)):
        return frozenset()
    current = {path: entry for path, (holder, entry) in start.entries.items() if holder == RELEASES}
    bins = peek_said(delegations, {role.name: file}).get(role.name)
    own = _only(delegations, role)
    names = [name for name in bins.names if name in start.files] if bins else []
    files = [file, *(start.files[name] for name in names if draft.signed_by(name, own))]
    return frozenset(path for each in files for path, entry in each.targets.items() if current.get(path) == entry)


def _only(delegations: Delegations, role: Delegation) -> Mapping[str, Key]:
    return {key_id: delegations.keys[key_id] for key_id in role.key_ids}


def _roles(draft: Draft) -> tuple[list[Delegation], dict[str, Key]]:
    """The draft's roles and keys; ``releases`` with the repository keys where there are no signers yet."""
    delegations = draft.delegations
    if delegations is not None:
        return list(delegations.roles), dict(delegations.keys)
    repository = _repository(draft)
    threshold = draft.root.roles[TARGETS].threshold
    keys = {key_id: draft.root.keys[key_id] for key_id in repository}
    return [Delegation(RELEASES, Kind.RELEASES, repository, threshold, (ANY_PATH,))], keys


def _repository(draft: Draft) -> tuple[str, ...]:
    return tuple(draft.root.roles[TARGETS].keyids)


def _existing(draft: Draft, roles: Collection[Delegation], name: SignerName) -> Delegation:
    for role in roles:
        if role.name == name.name and role.kind is not Kind.RELEASES:
            return role
    raise NotFound(f"{draft.gun} has no signer {name}.", hint=f"See: trustkit signer list {draft.gun}")


def _position(draft: Draft, roles: Sequence[Delegation], before: SignerName | None) -> int:
    limited = [role.name for role in roles if role.kind is Kind.LIMITED]
    if before is None:
        return len(limited)
    if before.name not in limited:
        raise NotFound(f"{before} is no signer of {draft.gun} that is limited to paths.")
    return limited.index(before.name)


def _has_own(role: Delegation, there: Delegation) -> bool:
    return role.name == there.name or (there.kind is Kind.ATTRIBUTION and role.kind is Kind.RELEASES)


def _exchanged(role: Delegation, old: Collection[str], new: str) -> Delegation:
    kept = [key_id for key_id in role.key_ids if key_id not in old]
    ordered = (new, *kept) if role.kind is not Kind.RELEASES else (*kept, new)
    return _with_keys(role, ordered)


def _with_keys(role: Delegation, key_ids: tuple[str, ...]) -> Delegation:
    return Delegation(role.name, role.kind, key_ids, role.threshold, role.paths)


def overlapping(pattern: str, other: str) -> bool:
    """Whether some tag matches both patterns: then the signer that is asked first answers for it."""
    reached = {(0, 0)}
    for _ in range(len(pattern) + len(other) + 1):
        reached |= {step for pair in reached for step in _steps(pattern, other, *pair)}
    return (len(pattern), len(other)) in reached


def _steps(a: str, b: str, i: int, j: int) -> list[tuple[int, int]]:
    steps = []
    left, right = a[i : i + 1], b[j : j + 1]
    if left == "*":
        steps.append((i + 1, j))
        if right:
            steps.append((i, j + 1))
    if right == "*":
        steps.append((i, j + 1))
        if left:
            steps.append((i + 1, j))
    if left and right and "*" not in (left, right) and (left == right or "?" in (left, right)):
        steps.append((i + 1, j + 1))
    return steps
