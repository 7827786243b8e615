"""Examining a proposal before it is signed: what a service shows is believed in nothing (TRUST 3.10).

Who approves signs the very bytes that were examined here against the state that was verified here; so a service can't
have somebody sign for another collection, another version, or a change that wasn't shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuf.api.metadata import Metadata, Signed, Targets

from trustkit.core.bins import check_named
from trustkit.core.delegations import TARGETS
from trustkit.core.draft import MAX_JUMP, Draft
from trustkit.core.formats.tuf1 import read, role_kind
from trustkit.core.names import Gun
from trustkit.core.places import Places, read_places
from trustkit.core.proposals import proposal_id
from trustkit.core.roots import ONLINE, check_gun, check_root_keys
from trustkit.core.saidbins import said_in
from trustkit.core.targets import read_target
from trustkit.errors import BadDelegation, Malformed, ProposalStale, Rejected


def examine(draft: Draft, identifier: str, files: Mapping[str, bytes]) -> Mapping[str, Metadata[Any]]:
    """Makes a proposal's files the draft's edits, so that ``before``, ``after`` and ``needs`` tell what it changes.

    Args:
        draft: of the verified current state, unedited.
        identifier: the id that was asked for; it has to be that of these files.
        files: bytes by role, as received.

    Returns:
        The files by role, with the signatures that they came with.

    Raises:
        ProposalStale: its versions don't follow the current ones, or it has expired.
        WrongGun, BadKeys, BadDelegation, BadTarget, Malformed, Rejected: nothing that anybody should sign.
    """
    if not files or set(files) & set(ONLINE):
        raise Malformed("The proposal has no files, or files of roles that nobody proposes.")
    read_files = {role: _read(role, data) for role, data in files.items()}
    for role, file in read_files.items():
        _check(draft, role, file.signed)
    root = read_files["root"].signed if "root" in read_files else None
    if root is not None:
        check_root_keys(root)
    draft.take(root, {role: file.signed for role, file in read_files.items() if role != "root"})
    places = read_places(draft.root, draft.after.files)
    delegations = places.delegations
    named = {role.name for role in delegations.roles} if delegations else set()
    named |= {*places.files, *(name for name in files if said_in(name, draft.said))}
    if strange := sorted(set(files) - {"root", TARGETS} - named):
        raise BadDelegation(f"The proposal has {strange[0]!r}, which nobody delegates to.")
    for role in set(files) & set(places.files):
        _check_entries(places, role, read_files[role].signed)
    if proposal_id(read_files, places) != identifier:
        raise Rejected(
            f"What the service of {draft.gun.host} sends as proposal {identifier} is another one.",
            hint="Don't sign it. Ask who proposed it, and the service's operator.",
        )
    return read_files


def _read(role: str, data: bytes) -> Metadata[Any]:
    read_file: Metadata[Any] = read(data, role_kind(role), f"{role}.json")
    return read_file


def _check(draft: Draft, role: str, signed: Signed) -> None:
    check_gun(signed, draft.gun)
    if isinstance(signed, Targets):
        check_named(role, signed)
    current = draft.old_root.version if role == "root" else draft.version(role)
    furthest = current + 1 if role == "root" else current + 1 + MAX_JUMP
    if not current < signed.version <= furthest:
        raise _stale(draft.gun, f"{role} is at version {current}, and {signed.version} is proposed.")
    if signed.expires <= draft.now:
        raise _stale(draft.gun, f"the {role} that it proposes has expired.")
    if signed.expires > draft.latest_expiry(role):
        raise Rejected(
            f"The {role} of {draft.gun} that is proposed would be believed until {signed.expires:%Y-%m-%d}, which is "
            "longer than anything should be.",
            hint="Don't sign it. Ask who proposed it, and the service's operator.",
        )


def _check_entries(places: Places, role: str, file: Targets) -> None:
    for path, entry in file.targets.items():
        target = read_target(path, entry, places.granting(role))
        if places.file_of(target.tag.name) != role:
            raise BadDelegation(f"{role}.json holds {path[:128]!r}, which another role answers for.")


def _stale(gun: Gun, why: str) -> ProposalStale:
    return ProposalStale(
        f"The proposal can't follow the current state of {gun}: {why}", hint="Drop it and propose anew."
    )
