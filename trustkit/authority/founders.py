"""Who may found collections: the operator's lists of root keys, by pattern of repositories (TRUST 3.8)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Set
from dataclasses import dataclass
from datetime import datetime

from tuf.api.metadata import Metadata, Root

from trustkit.core.names import Gun, Repository
from trustkit.core.patterns import RepositoryPattern
from trustkit.core.ports.service import AuditRow, Transaction
from trustkit.core.roots import root_signers
from trustkit.errors import Conflict, FounderNotAllowed, InvalidSetting, NotFound

MAX_KEYS = 64
"""Root keys that one pattern may list."""

_KEY_ID = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True)
class Founders:
    """The list that decides about a repository."""

    pattern: RepositoryPattern
    key_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class Change:
    """Who changes a list, from where and when; what the audit row says."""

    actor: str
    source: str
    at: datetime


async def founders_of(tx: Transaction, repository: Repository) -> Founders | None:
    """The list of the most specific pattern that matches; None where there is none: anybody may claim the name."""
    lists = await tx.settings.founders()
    matching = [pattern for pattern in lists if pattern.matches(repository)]
    if not matching:
        return None
    decisive = max(matching, key=lambda pattern: pattern.specificity)
    return Founders(decisive, lists[decisive])


async def require_founder(tx: Transaction, gun: Gun, root: Metadata[Root]) -> None:
    """Holds a first root against the list, in the transaction that founds the collection.

    One listed key has to be a root key of it and to have signed it: a stranger can put any key into a root of theirs.

    Args:
        root: a root that the judge accepted.

    Raises:
        FounderNotAllowed: there is a list, and no key of it has signed; ``context["allowed"]`` has the list.
    """
    await require_founder_key(tx, gun, root_signers(root), root.signed.roles["root"].keyids)


async def require_founder_key(tx: Transaction, gun: Gun, signed: Set[str], named: Iterable[str]) -> None:
    """As ``require_founder``, of a root in any format.

    Args:
        signed: the ids of the root keys that signed it.
        named: those of all its root keys.
    """
    founders = await founders_of(tx, gun.repository)
    if founders is None or signed & founders.key_ids:
        return
    allowed = sorted(founders.key_ids)
    raise FounderNotAllowed(
        f"{gun} has no collection yet, and the root key that signed its first root may not found one under "
        f"{founders.pattern}.",
        hint=f"Found it with --root-key {' or '.join(key[:16] for key in allowed[:4])}, "
        "or ask an operator: trustkit admin founders add.",
        pattern=str(founders.pattern),
        allowed=allowed,
        root_keys=sorted(named),
    )


async def add_founders(
    tx: Transaction, pattern: RepositoryPattern, key_ids: Iterable[str], change: Change
) -> frozenset[str]:
    """Adds root keys to the pattern's list, with an audit row; from then on nobody else founds under it.

    Returns:
        The whole list.

    Raises:
        InvalidSetting: no key, an id that isn't 64 lower-case hex digits, over 64 keys.
    """
    added = _checked(key_ids)
    listed = (await tx.settings.founders()).get(pattern, frozenset()) | added
    if len(listed) > MAX_KEYS:
        raise InvalidSetting(f"A pattern lists at most {MAX_KEYS} root keys.")
    await _set(tx, pattern, listed, "founders-added", added, change)
    return listed


async def remove_founders(
    tx: Transaction, pattern: RepositoryPattern, key_ids: Iterable[str], change: Change
) -> frozenset[str]:
    """Takes these keys off the pattern's list, or the whole list where none is given, with an audit row.

    Returns:
        What is left of the list.

    Raises:
        NotFound: there is no such list, or no such key on it.
        Conflict: these are all keys of the list: without it anybody could found, which has to be said.
        InvalidSetting: an id that isn't 64 lower-case hex digits.
    """
    listed = (await tx.settings.founders()).get(pattern)
    if listed is None:
        raise NotFound(f"No founders are listed for {pattern}.", hint="See: trustkit admin founders list.")
    removed = _checked(key_ids) if (key_ids := list(key_ids)) else listed
    if strange := sorted(removed - listed):
        raise NotFound(f"Root key {strange[0][:16]} is not on the list of {pattern}.")
    if key_ids and removed == listed:
        raise Conflict(
            f"These are the only founders of {pattern}; without them anybody who may sign could found there.",
            hint=f"Add others first, or give up the list: trustkit admin founders remove {pattern}.",
        )
    await _set(tx, pattern, listed - removed, "founders-removed", removed, change)
    return listed - removed


def _checked(key_ids: Iterable[str]) -> frozenset[str]:
    found = frozenset(key_ids)
    if not found or not all(_KEY_ID.match(key_id) for key_id in found):
        raise InvalidSetting(
            "The id of a root key is 64 lower-case hex digits.",
            hint="The publisher sees it with: trustkit key list --format json.",
        )
    return found


async def _set(
    tx: Transaction,
    pattern: RepositoryPattern,
    listed: frozenset[str],
    action: str,
    moved: frozenset[str],
    change: Change,
) -> None:
    await tx.settings.set_founders(pattern, listed)
    detail = {"root_keys": sorted(moved), "listed": sorted(listed)}
    await tx.audit.append(AuditRow(change.at, change.actor, change.source, action, str(pattern), detail))
