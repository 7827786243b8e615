"""The whole view of a collection in hash bins, made anew from the bins that changed.

A bin that was verified stays so: its bytes are those of its version for ever (TRUST 3.4), and who may sign it, what
it may hold and which collection it is of stand in the root, the targets and the holder's file.  As long as those
three are the same bytes, only its version in the snapshot, its expiry, and the files of the service's own have to be
looked at again.  Whatever differs there has every bin verified anew.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from tuf.api.metadata import Root, Snapshot, Targets

from trustkit.core.bins import holder_of
from trustkit.core.delegations import RELEASES, TARGETS
from trustkit.core.evaluate import evaluate, has_expired
from trustkit.core.formats.tuf1 import meta_version, read
from trustkit.core.names import BINS, Digest, Gun, Tag
from trustkit.core.places import Places, peek_places
from trustkit.core.records import dataclass
from trustkit.core.view import SignedTarget, SignedView
from trustkit.errors import BadDelegation, Garbage, Malformed


@dataclass(frozen=True, slots=True)
class Bin:
    """One bin as it was verified: its version, and the view that it makes by itself until it expires."""

    version: int
    view: SignedView


@dataclass(frozen=True, slots=True)
class Grown:
    """The bins that were verified, and the bytes of the files under which they were."""

    under: tuple[bytes, ...]
    bins: Mapping[str, Bin]


def may_have_bins(files: Mapping[str, bytes]) -> bool:
    """Whether a state names bins at all, asked of its bytes."""
    return f'"{BINS}'.encode() in files.get("snapshot", b"")


def outdated(files: Mapping[str, bytes], known: Grown | None) -> list[str]:
    """The bins whose files an evaluation takes, beside what was verified before.

    Args:
        files: the state without any bin.

    Raises:
        Garbage: it can't be read.
    """
    try:
        bins = _places(files).bins
        if bins is None:
            return []
        meta = read(files["snapshot"], Snapshot).signed.meta
        there = _still(files, known)
        return [name for name in bins.names if name not in there or there[name].version != meta_version(meta, name)]
    except (Malformed, BadDelegation, KeyError) as error:
        raise Garbage(f"The state can't be read: {error}") from error


def evaluate_grown(
    files: Mapping[str, bytes], gun: Gun, now: datetime, names: Collection[str], known: Grown | None
) -> tuple[SignedView, Grown | None]:
    """As ``evaluate``, with what was verified of the other bins before.

    Args:
        files: the state with the bins of ``names``.
        names, known: as ``outdated`` was asked for them, and gave them.

    Raises:
        as ``evaluate``.
    """
    view = evaluate(files, gun, now, bins=names)
    if not view.bins:
        return view, None
    places, meta = _places(files), read(files["snapshot"], Snapshot).signed.meta
    found, rest = _parts(view, places, names), _still(files, known)
    kept = {name: rest[name] for name in view.bins if name not in found and name in rest}
    for name, there in kept.items():
        if meta_version(meta, name) != there.version:
            raise Garbage(f"{gun}: {name} is not the version that snapshot names")
        if there.view.expires <= now:
            raise has_expired(name, there.view.expires, gun)
    if missing := [name for name in view.bins if name not in found and name not in kept]:
        raise Garbage(f"{gun}: no {', '.join(missing[:8])}")
    bins = {**found, **kept}
    own = [target for target in view.targets.values() if places.file_of(target.tag.name) not in bins]
    limited = replace(view, targets={target.tag: target for target in own})
    parts = [limited, *(each.view for each in bins.values())]
    return _whole(view, holder_of(places.delegations), parts, kept), Grown(_under(files), bins)


def _parts(view: SignedView, places: Places, names: Iterable[str]) -> dict[str, Bin]:
    """What each of these bins says by itself, and until when."""
    targets: dict[str, dict[Tag, SignedTarget]] = {name: {} for name in names}
    for tag, target in view.targets.items():
        if (name := places.file_of(tag.name)) in targets:
            targets[name][tag] = target
    return {
        name: Bin(view.versions[name], replace(view, targets=there, expires=view.expiries[name]))
        for name, there in targets.items()
    }


def _whole(view: SignedView, holder: str, parts: list[SignedView], kept: Mapping[str, Bin]) -> SignedView:
    """All parts as one view, with the same answers as if it had been made at once."""
    targets, superseded, indexes = dict[Tag, SignedTarget](), dict[Digest, datetime](), set[Digest]()
    named, recorded = dict[Digest, SignedTarget](), dict[Digest, SignedTarget]()
    for part in parts:
        targets.update(part.targets)
        named.update(part.named)
        recorded.update(part.recorded)
        indexes.update(part.indexes)
        for digest, until in part.superseded.items():
            superseded[digest] = max(until, superseded.get(digest, until))
    ends = [each.view.expires for each in kept.values()]
    versions = {**view.versions, **{name: each.version for name, each in kept.items()}}
    expiries = {**view.expiries, **{name: each.view.expires for name, each in kept.items()}}
    roles = tuple(
        replace(role, expires=min([role.expires, *ends])) if role.name == holder and role.expires else role
        for role in view.roles
    )
    expires = min([view.expires, *ends])
    whole = replace(view, targets=targets, expires=expires, versions=versions, expiries=expiries, roles=roles)
    whole.__dict__.update(named=named, recorded=recorded, superseded=superseded, indexes=tuple(sorted(indexes)))
    return whole


def _places(files: Mapping[str, bytes]) -> Places:
    held = {role: read(files[role], Targets, f"{role}.json").signed for role in (TARGETS, RELEASES) if role in files}
    return peek_places(read(files["root"], Root).signed, held)


def _under(files: Mapping[str, bytes]) -> tuple[bytes, ...]:
    return tuple(files.get(role, b"") for role in ("root", TARGETS, RELEASES))


def _still(files: Mapping[str, bytes], known: Grown | None) -> Mapping[str, Bin]:
    return known.bins if known is not None and known.under == _under(files) else {}
