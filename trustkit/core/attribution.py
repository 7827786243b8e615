"""Which signers signed a tag, by their own keys: for policies that demand names, and for showing (TRUST 4.2).

Nothing here grants trust: it is asked about tags that ``evaluate`` has accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

from securesystemslib.signer import Key
from tuf.api.metadata import Metadata, Root, Snapshot, TargetFile, Targets

from trustkit.core.bins import check_named
from trustkit.core.delegations import RELEASES, TARGETS, Delegation, Delegations, Kind, read_delegations
from trustkit.core.formats.tuf1 import meta_version, read
from trustkit.core.names import Gun, Tag
from trustkit.core.places import peek_places
from trustkit.core.roots import check_gun, signed_by
from trustkit.core.saidbins import read_said
from trustkit.errors import BadDelegation, Rejected


def attributions(files: Mapping[str, bytes], gun: Gun, now: datetime) -> Mapping[Tag, frozenset[str]]:
    """By tag the names of the signers whose own key has signed it for the digest that it is trusted for.

    A signer counts where its current, unexpired file lists the tag as it is: the file of its own paths, if its own
    key is among those that signed it, or the file, or the bin of it, that says what it signed of ``releases``.

    Args:
        files: the files of a state that ``evaluate`` has accepted at ``now``, those of the signers among them.
    """
    root, targets = read(files["root"], Root).signed, read(files["targets"], Targets).signed
    delegations = read_delegations(targets, root)
    found: dict[Tag, set[str]] = {}
    if delegations is None:
        return {}
    snapshot = read(files["snapshot"], Snapshot).signed
    releases = _releases(files, root, targets)
    for role, metadata in _current(files, delegations, snapshot, gun, now):
        if not signed_by(metadata, _own(role, delegations, frozenset(root.roles["targets"].keyids))):
            continue
        for path, entry in metadata.signed.targets.items():
            if role.kind is Kind.LIMITED or releases.get(path) == entry:
                found.setdefault(Tag.parse(path), set()).add(role.name)
    return {tag: frozenset(names) for tag, names in found.items()}


def _releases(files: Mapping[str, bytes], root: Root, targets: Targets) -> Mapping[str, TargetFile]:
    """What is trusted by ``releases``, in its own file or in those of its bins that are here."""
    if RELEASES not in files:
        return {}
    own = read(files[RELEASES], Targets, "releases.json").signed
    bins = peek_places(root, {TARGETS: targets, RELEASES: own}).bins
    names = [name for name in bins.names if name in files] if bins else []
    binned = [read(files[name], Targets, f"{name}.json").signed for name in names]
    return {path: entry for file in (own, *binned) for path, entry in file.targets.items()}


def _current(
    files: Mapping[str, bytes], delegations: Delegations, snapshot: Snapshot, gun: Gun, now: datetime
) -> Iterator[tuple[Delegation, Metadata[Targets]]]:
    """The signers' files that belong to this state."""

    def one(name: str) -> Metadata[Targets] | None:
        if name not in files:
            return None
        try:
            metadata = read(files[name], Targets, f"{name}.json")
            check_gun(metadata.signed, gun)
            check_named(name, metadata.signed)
        except Rejected:
            return None  # it says nothing about anybody, then
        current = meta_version(snapshot.meta, name) == metadata.signed.version
        return metadata if current and metadata.signed.expires > now else None

    for role in delegations.roles:
        if role.kind is not Kind.RELEASES and (head := one(role.name)) is not None:
            yield role, head
            for said in _said(role, delegations, head, one):
                yield role, said


def _said(
    role: Delegation,
    delegations: Delegations,
    head: Metadata[Targets],
    one: Callable[[str], Metadata[Targets] | None],
) -> Iterator[Metadata[Targets]]:
    """The bins in which a signer says what it signed, each with the tags alone that lie in it."""
    if role.kind is not Kind.ATTRIBUTION or not signed_by(head, {key: delegations.keys[key] for key in role.key_ids}):
        return
    try:
        bins = read_said(role, delegations.keys, head.signed)
    except BadDelegation:
        return
    for name in bins.names if bins is not None else ():
        said = one(name)
        if said is not None and bins is not None and all(bins.of(path) == name for path in said.signed.targets):
            yield said


def _own(role: Delegation, delegations: Delegations, repository: frozenset[str]) -> Mapping[str, Key]:
    return {key_id: delegations.keys[key_id] for key_id in role.key_ids if key_id not in repository}
