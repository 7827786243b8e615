"""What a separate signer whose database is behind its service goes on from.  Pure; its operator has consented."""

from __future__ import annotations

from collections.abc import Mapping, Set
from datetime import datetime

from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

from trustkit.core.delegations import RELEASES, TARGETS
from trustkit.core.draftfiles import carries
from trustkit.core.evaluate import evaluate_but_expiry
from trustkit.core.formats.tuf1 import payload, read
from trustkit.core.names import Gun
from trustkit.core.onlinejudge import Record, check_delegated, known_root, named_versions, read_payload
from trustkit.core.places import Places, peek_places
from trustkit.core.roots import ONLINE, check_root_keys, check_threshold, root_signers
from trustkit.core.saidbins import own_said
from trustkit.errors import BadSignature, BadVersion, Malformed, NotTrusted


def caught_up(
    gun: Gun, files: Mapping[str, bytes], record: Record, root_keys: Set[str], now: datetime
) -> tuple[Record, Root]:
    """Judges the state that a signer is to go on from, which has signed less than its service has stored.

    Args:
        files: the state, whole and signed, by role.
        root_keys: ids of root keys that the signer's operator has named; empty for none.

    Returns:
        The record with this state as its newest, and the root of that state.

    Raises:
        Rejected: neither the root that is known here nor all of the named keys vouch for its root, no client would
            take it, or it goes back behind what was signed here.
    """
    if missing := {"root", "targets", *ONLINE} - files.keys():
        raise Malformed(f"The state has no {min(missing)}.")
    root = read(files["root"], Root)
    check_root_keys(root.signed)
    check_threshold(root.signed, "root", root)
    if not root_keys or not root_keys <= root_signers(root):
        _check_known(gun, root, None if record.anew else known_root(record), named=bool(root_keys))
    held = {role: read(files[role], Targets, role).signed for role in (TARGETS, RELEASES) if role in files}
    places = peek_places(root.signed, held)
    counting = {"root", TARGETS, *ONLINE, *places.files}
    kept = {role: data for role, data in files.items() if role in counting}
    kept.update(_said(files, places, held[TARGETS]))
    try:
        evaluate_but_expiry(kept, gun, now, fresh=frozenset())
    except NotTrusted as error:
        raise Malformed(f"No client would take this state: {error.message}") from error
    check_delegated(kept, kept.keys() - {"root", "targets", *ONLINE})
    snapshot = payload(read(files["snapshot"], Snapshot).signed)
    timestamp = payload(read(files["timestamp"], Timestamp).signed)
    after = Record(snapshot, snapshot, timestamp, {role: kept[role] for role in kept if role != "timestamp"})
    _check_not_back(after, record)
    return after, root.signed


def _said(files: Mapping[str, bytes], places: Places, targets: Targets) -> Mapping[str, bytes]:
    """The files in which signers say what they signed, as far as their keys of now carry them."""
    roles = places.delegations.attributions.values() if places.delegations else ()
    heads = {role.name: read(files[role.name], Targets, role.name) for role in roles if role.name in files}
    said = own_said(places.delegations, {role: file.signed for role, file in heads.items()})
    found = {role: files[role] for role, head in heads.items() if carries(targets, role, head)}
    for role in [role for role in said if role in found]:
        for name in [name for name in said[role].names if name in files]:
            if carries(heads[role].signed, name, read(files[name], Targets, name)):
                found[name] = files[name]
    return found


def _check_known(gun: Gun, root: Metadata[Root], old: Metadata[Root] | None, *, named: bool) -> None:
    """Raises Rejected where the root that is known here doesn't vouch for this one."""
    if old is None or named:
        raise BadSignature(
            f"No root of {gun} is known here, and the consent names no root key that has signed the service's."
            if not named
            else f"Not all of the root keys that the consent names have signed the service's root of {gun}.",
            hint="Ask the publisher for the root keys, over another way than through the service.",
        )
    if root.signed.version < old.signed.version:
        raise BadVersion(f"The root is of version {root.signed.version}; {old.signed.version} was here already.")
    if payload(root.signed) != payload(old.signed):
        check_threshold(old.signed, "root", root)


def _check_not_back(after: Record, before: Record) -> None:
    if behind := [role for role, version in after.versions.items() if version < before.versions[role]]:
        raise BadVersion(f"The state is older than what was signed here: {behind[0]}.", versions=before.versions)
    versions = named_versions(read_payload(after.released, Snapshot)) if after.released else {}
    for role, version in (named_versions(read_payload(before.released, Snapshot)) if before.released else {}).items():
        if versions.get(role, 0) < version:
            raise BadVersion(f"The state takes {role} back behind version {version}.")
