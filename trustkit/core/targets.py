"""A tag as a TUF target: what its entry has to look like, and how it is made (TRUST 4.4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from tuf.api.metadata import TargetFile

from trustkit.core.formats.tuf1 import read_time, write_time
from trustkit.core.manifests import INDEXES, MEDIA_TYPE
from trustkit.core.names import Digest, Tag
from trustkit.core.ports.images import MAX_MANIFEST, ManifestBytes
from trustkit.core.view import SignedTarget, Superseded
from trustkit.errors import BadTarget, InvalidName, Malformed

CUSTOM = "x-trustkit"
MAX_SUPERSEDED = 16
MAX_CHILDREN = 1_000
"""As many as are looked at below one index where nothing is recorded."""
MAX_SUPERSEDE = timedelta(days=365)
KEEP_SUPERSEDED = timedelta(days=30)


def read_target(path: str, target: TargetFile, role: str) -> SignedTarget:
    """Reads a target's entry into what it means.

    Raises:
        BadTarget: a path that is no tag, other hashes than sha256, a length no manifest has, or a ``custom`` of
            another shape.
    """
    try:
        tag = Tag.parse(path)
        if set(target.hashes) != {"sha256"} or set(target.unrecognized_fields) != {"custom"}:
            raise Malformed("the entry needs sha256, length and custom, and nothing else")
        digest = Digest.from_hex(target.hashes["sha256"])
        media_type, superseded, children = _read_custom(target.custom)
    except (InvalidName, Malformed) as error:
        raise BadTarget(f"Target {path[:128]!r} is not a signed tag: {error.message}") from error
    if not 1 <= target.length <= MAX_MANIFEST:
        raise BadTarget(f"Target {path!r} has {target.length} bytes; a manifest has 1 to {MAX_MANIFEST}.")
    if any(old.digest == digest for old in superseded):
        raise BadTarget(f"Target {path!r} supersedes its own digest.")
    if children and (digest in children or media_type not in INDEXES):
        raise BadTarget(f"Target {path!r} has children, and is its own child or no index.")
    return SignedTarget(tag, digest, target.length, media_type, role, superseded, children)


def _read_custom(custom: Any) -> tuple[str, tuple[Superseded, ...], tuple[Digest, ...]]:
    """Our own member; others are the publisher's, and mean nothing here."""
    if not isinstance(custom, dict) or not isinstance(custom.get(CUSTOM), dict):
        raise Malformed(f"custom has to hold {CUSTOM}")
    ours = custom[CUSTOM]
    media_type, old = ours.get("media_type", ""), ours.get("superseded")
    if set(ours) - {"children", "media_type"} != {"superseded"} or not isinstance(old, list):
        raise Malformed(f"{CUSTOM} has to hold superseded, media_type, children where there are any, and no more")
    if "media_type" in ours and (not isinstance(media_type, str) or not MEDIA_TYPE.match(media_type)):
        raise Malformed("media_type is not a media type")
    if len(old) > MAX_SUPERSEDED:
        raise Malformed(f"more than {MAX_SUPERSEDED} superseded digests")
    superseded = tuple(_read_superseded(entry) for entry in old)
    if len({entry.digest for entry in superseded}) != len(superseded):
        raise Malformed("a superseded digest stands twice")
    return media_type, superseded, _read_children(ours["children"]) if "children" in ours else ()


def _read_children(listed: Any) -> tuple[Digest, ...]:
    if not isinstance(listed, list) or not all(isinstance(child, str) for child in listed):
        raise Malformed("children is no list of digests")
    if not 1 <= len(listed) <= MAX_CHILDREN:
        raise Malformed(f"children has to hold 1 to {MAX_CHILDREN} digests, and to be absent where there are none")
    if len(set(listed)) != len(listed):
        raise Malformed("a child stands twice")
    return tuple(Digest.parse(child) for child in listed)


def _read_superseded(entry: Any) -> Superseded:
    if not isinstance(entry, dict) or set(entry) != {"digest", "until"} or not isinstance(entry["digest"], str):
        raise Malformed("a superseded entry has to hold digest and until")
    return Superseded(Digest.parse(entry["digest"]), read_time(entry["until"], "until"))


def make_target(
    tag: Tag,
    manifest: ManifestBytes,
    previous: SignedTarget | None,
    *,
    now: datetime,
    keep: timedelta,
    children: Sequence[Digest] = (),
) -> TargetFile:
    """The entry that signs this manifest under this tag.

    The digest that the tag had before, and those before it whose time is not over, stay pullable by digest.  Children
    that were recorded for these very bytes stay recorded: they are what they were.

    Args:
        previous: what the tag is signed as now; None for a new tag.
        keep: how long the previous digest may still be pulled; zero for not at all.
        children: manifests below this index, fetched and hashed, that are to be trusted by digest as it is.
    """
    if not children and previous and previous.digest == manifest.digest:
        children = previous.children
    superseded = list(previous.superseded) if previous else []
    if previous and previous.digest != manifest.digest and keep > timedelta(0):
        superseded.insert(0, Superseded(previous.digest, (now + keep).replace(microsecond=0)))
    entries: dict[Digest, datetime] = {}
    for old in superseded:
        if old.digest != manifest.digest and old.until > now:
            entries.setdefault(old.digest, old.until)
    newest = list(entries.items())[:MAX_SUPERSEDED]  # in the order of signing, whatever their times
    kept = tuple(Superseded(digest, until) for digest, until in newest)
    signed = SignedTarget(tag, manifest.digest, len(manifest.data), manifest.media_type, "", kept, tuple(children))
    return write_target(signed)


def write_target(target: SignedTarget, custom: Mapping[str, object] | None = None) -> TargetFile:
    """The entry of a tag; the inverse of ``read_target``.

    Args:
        custom: what its publisher says of it besides, kept as it is.
    """
    ours: dict[str, object] = {"media_type": target.media_type} if target.media_type else {}
    ours["superseded"] = [{"digest": str(old.digest), "until": write_time(old.until)} for old in target.superseded]
    if target.children:
        ours["children"] = [str(child) for child in target.children]
    fields = {"custom": {**(custom or {}), CUSTOM: ours}}
    return TargetFile(target.length, {"sha256": target.digest.hex}, target.tag.name, unrecognized_fields=fields)
