"""What the judge says of the tags in one file."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from tuf.api.metadata import Targets

from trustkit.core.places import Places
from trustkit.core.targets import MAX_SUPERSEDE, read_target
from trustkit.core.view import SignedTarget
from trustkit.errors import BadDelegation, BadTarget


def judge_entries(
    granting: str, file: Targets, before: Mapping[str, object], now: datetime
) -> dict[str, SignedTarget]:
    """The entries that are new or other than before.

    Args:
        granting: the role whose tags they are.
        before: the stored entries, which were judged when they came.

    Raises:
        BadTarget: one that is no signed tag, or keeps what it was before for too long.
    """
    changed = {}
    for path, entry in file.targets.items():
        if path in before and before[path] == entry:
            continue
        target = read_target(path, entry, granting)
        if any(old.until > now + MAX_SUPERSEDE for old in target.superseded):
            raise BadTarget(f"Tag {target.tag} keeps a superseded digest for more than {MAX_SUPERSEDE.days} days.")
        changed[path] = target
    return changed


def no_file(delegator: str, role: str) -> BadDelegation:
    """The error for a role that is delegated to and has no file."""
    return BadDelegation(
        f"{delegator}.json delegates to {role}, which has no file: stock clients can't read that.",
        hint=f"Upload {role}.json with it, empty if need be.",
    )


def check_owned(role: str, file: Targets, places: Places) -> None:
    """Raises BadDelegation for a tag that another file is for."""
    for path in file.targets:
        if (owner := places.file_of(path)) != role:
            raise BadDelegation(
                f"{role}.json holds {path[:128]!r}, which {owner} answers for.",
                hint=f"Withdraw it from {role}, or have {owner} sign it.",
                path=path[:128],
            )
