"""How many signatures a role takes: edits of a draft (TRUST 4.3)."""

from __future__ import annotations

from dataclasses import replace

from trustkit.core.delegations import ANY_PATH, RELEASES, TARGETS, Delegation, Kind
from trustkit.core.draft import Draft
from trustkit.core.needs import needs_of
from trustkit.errors import UsageError


def set_threshold(draft: Draft, role: str, number: int, *, withdraw: bool = False) -> None:
    """Has a role take this many signatures.

    A file that carries too few then is signed anew in the same publish; who has to do so is for ``Draft.needs``.

    Args:
        role: ``root``, ``targets`` or ``releases``.  ``releases`` is made of the repository keys where it is absent.
        withdraw: don't sign anew what too few have signed: its tags are withdrawn.

    Raises:
        UsageError: the role has fewer keys.
    """
    _set_releases(draft, number) if role == RELEASES else _set_of_root(draft, role, number)
    if withdraw:
        withdraw_unsigned(draft)


def _set_of_root(draft: Draft, role: str, number: int) -> None:
    there = draft.root.roles[role]
    _check(draft, role, number, len(there.keyids))
    if there.threshold != number:
        draft.edit_root().roles[role].threshold = number


def _set_releases(draft: Draft, number: int) -> None:
    delegations = draft.delegations
    if delegations is None:
        repository = tuple(draft.root.roles[TARGETS].keyids)
        _check(draft, RELEASES, number, len(repository))
        keys = {key_id: draft.root.keys[key_id] for key_id in repository}
        if number > 1:
            draft.delegate([Delegation(RELEASES, Kind.RELEASES, repository, number, (ANY_PATH,))], keys)
        return
    releases = delegations.releases
    _check(draft, RELEASES, number, len(releases.key_ids))
    if releases.threshold != number:
        roles = [replace(each, threshold=number) if each == releases else each for each in delegations.roles]
        draft.delegate(roles, delegations.keys)


def _check(draft: Draft, role: str, number: int, keys: int) -> None:
    if number > keys:
        more = {
            "root": "trustkit root propose --add-key",
            TARGETS: "trustkit root propose --repository-key, once for each of them",
            RELEASES: "trustkit signer add",
        }[role]
        raise UsageError(
            f"{role} of {draft.gun} has {keys} key{'' if keys == 1 else 's'}; it can't take {number} signatures.",
            hint=f"Add keys to it first: {more}.",
        )


def withdraw_unsigned(draft: Draft) -> None:
    """Withdraws the tags of every role whose file carries too few signatures in the draft's state."""
    targets = draft.targets(TARGETS)
    assert targets is not None  # noqa: S101 - every collection has it
    places, lost = draft.places, dict[str, list[str]]()
    for path in draft.entries():
        lost.setdefault(places.file_of(path), []).append(path)
    for file, paths in lost.items():
        (need,) = needs_of(file, old_root=draft.old_root, root=draft.root, targets=targets)
        if len(draft.signed_by(file, need.keys)) < need.threshold:
            draft.drop(paths)
