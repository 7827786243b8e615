"""A tag as a TUF target: what its entry has to look like, and how it is made (TRUST 4.4)."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

from tuf.api.metadata import TargetFile

from trustkit.core.formats.tuf1 import read_time, write_time
from trustkit.core.names import Digest, Tag
from trustkit.core.ports.images import MAX_MANIFEST, ManifestBytes
from trustkit.core.view import SignedTarget, Superseded
from trustkit.errors import BadTarget, InvalidName, Malformed

CUSTOM = "x-trustkit"
MAX_SUPERSEDED = 16
MAX_SUPERSEDE = timedelta(days=365)
KEEP_SUPERSEDED = timedelta(days=30)
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}\Z")


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
        media_type, superseded = _read_custom(target.custom)
    except (InvalidName, Malformed) as error:
        raise BadTarget(f"Target {path[:128]!r} is not a signed tag: {error.message}") from error
    if not 1 <= target.length <= MAX_MANIFEST:
        raise BadTarget(f"Target {path!r} has {target.length} bytes; a manifest has 1 to {MAX_MANIFEST}.")
    if any(old.digest == digest for old in superseded):
        raise BadTarget(f"Target {path!r} supersedes its own digest.")
    return SignedTarget(tag, digest, target.length, media_type, role, superseded)


def _read_custom(custom: Any) -> tuple[str, tuple[Superseded, ...]]:
    if not isinstance(custom, dict) or set(custom) != {CUSTOM} or not isinstance(custom[CUSTOM], dict):
        raise Malformed(f"custom has to hold {CUSTOM} alone")
    ours = custom[CUSTOM]
    media_type, old = ours.get("media_type"), ours.get("superseded")
    if set(ours) != {"media_type", "superseded"} or not isinstance(old, list):
        raise Malformed(f"{CUSTOM} has to hold media_type and superseded")
    if not isinstance(media_type, str) or not _MEDIA_TYPE.match(media_type):
        raise Malformed("media_type is not a media type")
    if len(old) > MAX_SUPERSEDED:
        raise Malformed(f"more than {MAX_SUPERSEDED} superseded digests")
    superseded = tuple(_read_superseded(entry) for entry in old)
    if len({entry.digest for entry in superseded}) != len(superseded):
        raise Malformed("a superseded digest stands twice")
    return media_type, superseded


def _read_superseded(entry: Any) -> Superseded:
    if not isinstance(entry, dict) or set(entry) != {"digest", "until"} or not isinstance(entry["digest"], str):
        raise Malformed("a superseded entry has to hold digest and until")
    return Superseded(Digest.parse(entry["digest"]), read_time(entry["until"], "until"))


def make_target(
    tag: Tag, manifest: ManifestBytes, previous: SignedTarget | None, *, now: datetime, keep: timedelta
) -> TargetFile:
    """The entry that signs this manifest under this tag.

    The digest that the tag had before, and those before it whose time is not over, stay pullable by digest.

    Args:
        previous: what the tag is signed as now; None for a new tag.
        keep: how long the previous digest may still be pulled; zero for not at all.
    """
    superseded = list(previous.superseded) if previous else []
    if previous and previous.digest != manifest.digest and keep > timedelta(0):
        superseded.insert(0, Superseded(previous.digest, (now + keep).replace(microsecond=0)))
    entries: dict[Digest, datetime] = {}
    for old in superseded:
        if old.digest != manifest.digest and old.until > now:
            entries.setdefault(old.digest, old.until)
    newest = list(entries.items())[:MAX_SUPERSEDED]  # in the order of signing, whatever their times
    custom = {
        CUSTOM: {
            "media_type": manifest.media_type,
            "superseded": [{"digest": str(digest), "until": write_time(until)} for digest, until in newest],
        }
    }
    return TargetFile(
        len(manifest.data), {"sha256": manifest.digest.hex}, tag.name, unrecognized_fields={"custom": custom}
    )
