"""Delegations: who may sign which tags of a collection (TRUST 4.1 to 4.3).

Without signers, ``targets`` holds the tags.  With at least one, ``targets`` holds none, and lists in this order

1. signers that are limited to paths: terminating roles, each with keys of its own;
2. ``releases``: terminating, for every other path;
3. roles that only attribute: one for each signer of ``releases``, with that signer's key.  No walk reaches them, so
   they grant no trust; what stands in their files says which tags that signer signed.

Every path thus has exactly one role that answers for it, whichever TUF client asks.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from securesystemslib.signer import Key
from tuf.api.metadata import DelegatedRole, Root, Targets
from tuf.api.metadata import Delegations as TufDelegations

from trustkit.core.names import SignerName, Tag
from trustkit.core.publickeys import check_keys
from trustkit.core.records import dataclass
from trustkit.errors import BadDelegation, InvalidName, KeyUnsupported

TARGETS = "targets"
RELEASES = "releases"
ANY_PATH = "*"
MAX_LIMITED = 30
"""Signers limited to paths; python-tuf's client looks at 32 roles for one path."""
MAX_ROLES = 64
MAX_PATHS = 32
MAX_KEYS = 96
_PATTERN = re.compile(r"[A-Za-z0-9_.*?-]{1,128}\Z")


class Kind(enum.Enum):
    """What a delegation is for."""

    LIMITED = "limited"
    RELEASES = "releases"
    ATTRIBUTION = "attribution"


@dataclass(frozen=True, slots=True)
class Delegation:
    """One delegated role.  ``paths`` are glob patterns of tags, with ``*`` and ``?`` only."""

    name: str
    kind: Kind
    key_ids: tuple[str, ...]
    threshold: int
    paths: tuple[str, ...]

    def matches(self, tag: str) -> bool:
        """Whether the role is delegated this tag; whether it answers for it is for ``Delegations.owner``."""
        return any(pattern == ANY_PATH or fnmatchcase(tag, pattern) for pattern in self.paths)


@dataclass(frozen=True, slots=True)
class Delegations:
    """All delegations of one targets file, in their order, with the public keys that they use."""

    roles: tuple[Delegation, ...]
    keys: Mapping[str, Key]

    def owner(self, tag: str) -> Delegation:
        """The one role that answers for a tag; ``releases`` takes what no signer has to itself."""
        return next(role for role in self.roles if role.matches(tag))

    def get(self, name: str) -> Delegation | None:
        """The role of this name."""
        return next((role for role in self.roles if role.name == name), None)

    @property
    def releases(self) -> Delegation:
        """The role for every path that no limited signer has."""
        return next(role for role in self.roles if role.kind is Kind.RELEASES)

    @property
    def trusted(self) -> tuple[Delegation, ...]:
        """The roles that a tag can be trusted by: the limited ones and ``releases``."""
        return tuple(role for role in self.roles if role.kind is not Kind.ATTRIBUTION)

    @property
    def attributions(self) -> Mapping[str, Delegation]:
        """The roles that attribute, by the id of their key."""
        return {role.key_ids[0]: role for role in self.roles if role.kind is Kind.ATTRIBUTION}


def check_path_pattern(pattern: str) -> str:
    """The pattern itself; raises InvalidName where it can match no tag, or has more than ``*`` and ``?``."""
    if not _PATTERN.match(pattern):
        raise InvalidName(
            f"{ascii(pattern)[:140]} is no pattern of tags.",
            hint="Use the characters of a tag, * for any of them and ? for one; for example 'v*'.",
        )
    return pattern


def read_delegations(targets: Targets, root: Root) -> Delegations | None:
    """The delegations of a targets file that has been read with ``tuf1.read``; None where there are no signers.

    Without signers the file may delegate to hash bins; those are for ``bins.read_bins``.

    Args:
        root: the root that the targets file is signed under; its repository keys may stand in any role, its online
            keys in none.

    Raises:
        BadDelegation: anything but the shape that this module describes, and tags in ``targets`` beside signers.
    """
    if targets.delegations is None or targets.delegations.succinct_roles is not None:
        return None
    if not targets.delegations.roles:
        raise BadDelegation("targets.json delegates, and names no roles.")
    if targets.targets:
        raise BadDelegation("targets.json holds tags beside delegations; with signers, it may hold none.")
    read = tuple(_read_role(role) for role in targets.delegations.roles.values())
    found = Delegations(_in_order(read), targets.delegations.keys)
    _check_keys(found, root)
    _check_kinds(found, frozenset(root.roles[TARGETS].keyids))
    return found


def _read_role(role: DelegatedRole) -> Delegation:
    paths = tuple(role.paths or ())
    if role.path_hash_prefixes is not None or not 1 <= len(paths) <= MAX_PATHS or len(set(paths)) != len(paths):
        raise BadDelegation(f"Role {role.name[:64]!r} needs 1 to {MAX_PATHS} path patterns, each once.")
    try:
        for path in paths:
            check_path_pattern(path)
        if role.name != RELEASES:
            SignerName.parse(role.name)
    except InvalidName as error:
        raise BadDelegation(f"Role {role.name[:64]!r} can't be delegated to: {error.message}") from error
    if role.name == RELEASES and not role.terminating:
        raise BadDelegation("releases has to be terminating.")
    kind = Kind.RELEASES if role.name == RELEASES else Kind.LIMITED if role.terminating else Kind.ATTRIBUTION
    if not role.keyids or len(set(role.keyids)) != len(role.keyids) or not 1 <= role.threshold <= len(role.keyids):
        raise BadDelegation(f"The threshold of {role.name} is {role.threshold} with {len(role.keyids)} keys.")
    return Delegation(role.name, kind, tuple(role.keyids), role.threshold, paths)


def _in_order(roles: tuple[Delegation, ...]) -> tuple[Delegation, ...]:
    kinds = [role.kind for role in roles]
    order = list(Kind)
    if kinds.count(Kind.RELEASES) != 1 or kinds != sorted(kinds, key=order.index):
        raise BadDelegation(
            "targets.json has to delegate to the signers with paths of their own first, then to releases, once, then "
            "to the roles that attribute."
        )
    if kinds.count(Kind.LIMITED) > MAX_LIMITED or len(kinds) > MAX_ROLES:
        raise BadDelegation(f"targets.json has more than {MAX_LIMITED} limited signers, or {MAX_ROLES} roles in all.")
    return roles


def _check_keys(found: Delegations, root: Root) -> None:
    used = {key_id for role in found.roles for key_id in role.key_ids}
    if used != set(found.keys) or len(used) > MAX_KEYS:
        raise BadDelegation(f"The keys of the delegations are not those that its roles use, at most {MAX_KEYS}.")
    try:
        check_keys(found.keys.values())
    except KeyUnsupported as error:
        raise BadDelegation(error.message, hint=error.hint) from error
    online = {key_id for role in ("snapshot", "timestamp") for key_id in root.roles[role].keyids}
    public = {str(root.keys[key_id].keyval["public"]) for key_id in online}
    if any(str(key.keyval["public"]) in public for key in found.keys.values()):
        raise BadDelegation("A key of the service stands in a delegation.")


def _check_kinds(found: Delegations, repository: frozenset[str]) -> None:
    releases = found.releases
    if releases.paths != (ANY_PATH,):
        raise BadDelegation("releases has to be for every path.")
    for role in found.roles:
        own = set(role.key_ids) - repository
        if role.kind is Kind.LIMITED and (not own or own & set(releases.key_ids)):
            raise BadDelegation(
                f"Signer {role.name} is limited to paths and has no key of its own, or one of releases."
            )
        if role.kind is Kind.ATTRIBUTION and (
            len(role.key_ids) != 1 or not own or not own <= set(releases.key_ids) or role.paths != (ANY_PATH,)
        ):
            raise BadDelegation(f"Signer {role.name} has to have one key, of releases, and no paths of its own.")
    attributing = [role.key_ids[0] for role in found.roles if role.kind is Kind.ATTRIBUTION]
    if len(set(attributing)) != len(attributing):
        raise BadDelegation("One key of releases is attributed to two signers.")


def write_delegations(roles: Iterable[Delegation], keys: Mapping[str, Key]) -> TufDelegations:
    """The TUF form; keys that no role uses are left out.  The inverse of ``read_delegations``."""
    listed = {
        role.name: DelegatedRole(
            role.name,
            list(role.key_ids),
            role.threshold,
            role.kind is not Kind.ATTRIBUTION,
            list(role.paths),
        )
        for role in roles
    }
    used = {key_id for role in listed.values() for key_id in role.keyids}
    return TufDelegations({key_id: key for key_id, key in keys.items() if key_id in used}, listed)


def answers_for(found: Delegations | None, tags: Iterable[Tag]) -> frozenset[str]:
    """The names of the roles that answer for these tags."""
    return frozenset(found.owner(tag.name).name if found else TARGETS for tag in tags)
