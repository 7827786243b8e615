"""Hash bins: where the tags of a large collection lie (TAP 15; TRUST 4.3).

The role that answers for what no limited signer has to itself, ``releases`` or without signers ``targets``, is the
*holder* of its tags.  Its own file has them, or its file has none and delegates to 2 to the power of ``bits`` bins:
one file each, and a tag lies in the one that the SHA-256 of its name says.  Bins are no roles of anybody: they repeat
their holder's keys and threshold exactly, so that whoever signs a tag signs one small file instead of a large one.

Bins are named ``PREFIX-INDEX``, the prefix is ``bins-EPOCH``.  An epoch is used once in a collection, for one number
of bins.  No signer can have such a name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property, lru_cache

from securesystemslib.signer import Key
from tuf.api.metadata import Delegations as TufDelegations
from tuf.api.metadata import Root, SuccinctRoles, Targets

from trustkit.core.delegations import RELEASES, TARGETS, Delegations
from trustkit.core.formats.tuf1 import ROLE
from trustkit.core.names import BINS, Tag
from trustkit.core.records import dataclass
from trustkit.errors import BadDelegation

MAX_BITS = 12
MAX_EPOCH = 999_999
_PREFIX = re.compile(r"bins-([1-9][0-9]{0,5})\Z")
_NAME = re.compile(r"(bins-[1-9][0-9]{0,5})-[0-9a-f]{1,3}\Z")


class Near(frozenset[Tag]):
    """Tags whose bins are enough of all bins, where otherwise every role is asked for: by who edits these tags."""


@dataclass(frozen=True)
class Bins:
    """The bins of one collection.

    Attributes:
        holder: the role whose tags lie in them.
        keys: the holder's keys by id, in their order; ``threshold`` of them sign each bin.
    """

    holder: str
    prefix: str
    bits: int
    keys: Mapping[str, Key]
    threshold: int

    @cached_property
    def _succinct(self) -> SuccinctRoles:
        return SuccinctRoles(list(self.keys), self.threshold, self.bits, self.prefix)

    def of(self, tag: str) -> str:
        """The name of the bin that this tag lies in."""
        name: str = self._succinct.get_role_for_target(tag)
        return name

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of all bins, in order."""
        return _names(self.prefix, self.bits)

    def __contains__(self, name: str) -> bool:
        return prefix_of(name) == self.prefix and self._succinct.is_delegated_role(name)

    @property
    def epoch(self) -> int:
        """Which binning of the collection this is."""
        return int(self.prefix.removeprefix(BINS))

    def same_files(self, other: Bins | None) -> bool:
        """Whether tags lie in files of the same names in both."""
        return other is not None and (self.prefix, self.bits) == (other.prefix, other.bits)

    def write(self) -> TufDelegations:
        """The TUF form; the inverse of ``read_bins``."""
        return TufDelegations(dict(self.keys), None, self._succinct)


@lru_cache(maxsize=8)
def _names(prefix: str, bits: int) -> tuple[str, ...]:
    return tuple(SuccinctRoles([], 1, bits, prefix).get_roles())


def prefix_of(role: str) -> str | None:
    """The prefix of a bin's name; None for whatever is no bin."""
    found = _NAME.match(role)
    return found[1] if found else None


def check_named(role: str, file: Targets) -> None:
    """Raises BadDelegation where a hash bin's file doesn't name it, or where a file of anything else names a bin.

    Holder and bins have the same keys.  Without a name in it, what the holder signed long ago, or another bin, could
    be served as any bin whose version has come as far (TRUST 4.3); stock clients don't look at the name.
    """
    named, wanted = file.unrecognized_fields.get(ROLE), role if prefix_of(role) else None
    if named != wanted:
        raise BadDelegation(f"The file of {role[:64]} says that it is of {ascii(named)[:64] if named else 'no bin'}.")


def holder_of(delegations: Delegations | None) -> str:
    """The role whose tags may lie in bins."""
    return RELEASES if delegations else TARGETS


def holder_keys(delegations: Delegations | None, root: Root) -> tuple[Mapping[str, Key], int]:
    """The holder's keys by id, in their order, and its threshold."""
    if delegations is not None:
        releases = delegations.releases
        return {key_id: delegations.keys[key_id] for key_id in releases.key_ids}, releases.threshold
    role = root.roles[TARGETS]
    return {key_id: root.keys[key_id] for key_id in role.keyids}, role.threshold


def peek_bins(holder: str, file: Targets) -> Bins | None:
    """The bins that a holder's file delegates to, whoever's keys they name; None where it has its tags itself.

    Raises:
        BadDelegation: more bins than anybody has, another prefix than ours, keys that aren't there, tags beside bins.
    """
    if file.delegations is None or (holder == TARGETS and file.delegations.succinct_roles is None):
        return None
    succinct = file.delegations.succinct_roles
    if succinct is None:
        raise BadDelegation(f"{holder}.json delegates further.")
    found = _PREFIX.match(succinct.name_prefix)
    if not found or not 1 <= succinct.bit_length <= MAX_BITS:
        raise BadDelegation(
            f"{holder}.json delegates to bins that can't be read: prefix {ascii(succinct.name_prefix)[:40]}, "
            f"{succinct.bit_length} bits; it has to be bins- and a number, and 1 to {MAX_BITS}."
        )
    if file.targets:
        raise BadDelegation(f"{holder}.json holds tags beside its bins.")
    if set(succinct.keyids) != set(file.delegations.keys) or len(set(succinct.keyids)) != len(succinct.keyids):
        raise BadDelegation(f"The bins of {holder} name other keys than stand beside them.")
    keys = {key_id: file.delegations.keys[key_id] for key_id in succinct.keyids}
    return Bins(holder, succinct.name_prefix, succinct.bit_length, keys, succinct.threshold)


def read_bins(delegations: Delegations | None, root: Root, file: Targets) -> Bins | None:
    """The bins of a collection; None where its holder's file has the tags itself.

    Args:
        delegations: as ``read_delegations`` gives them.
        file: the holder's.

    Raises:
        BadDelegation: as ``peek_bins``, and bins that don't repeat their holder's keys and threshold (TRUST 4.3).
    """
    bins = peek_bins(holder_of(delegations), file)
    if bins is None:
        return None
    keys, threshold = holder_keys(delegations, root)
    if list(bins.keys) != list(keys) or dict(bins.keys) != dict(keys) or bins.threshold != threshold:
        raise BadDelegation(
            f"The bins of {bins.holder} have other keys or another threshold than {bins.holder} itself.",
            hint=f"Sign {bins.holder} anew with the keys that it has now.",
        )
    return bins


def next_prefix(used: Iterable[str]) -> str:
    """The prefix of a new binning: an epoch after every one that the names in a snapshot show.

    Args:
        used: roles' names.

    Raises:
        BadDelegation: there was a million of them.
    """
    prefixes = {prefix for name in used if (prefix := prefix_of(name))}
    epoch = max((int(prefix.removeprefix(BINS)) for prefix in prefixes), default=0) + 1
    if epoch > MAX_EPOCH:
        raise BadDelegation("The collection has used up every name that bins can have.")
    return f"{BINS}{epoch}"


def wanted_bins(bins: Bins | None, owners: Mapping[str, str] | None) -> Iterator[str]:
    """The bins that an evaluation needs.

    Args:
        owners: by tag the role that answers for it; None for all tags.
    """
    if bins is None:
        return
    if owners is None:
        yield from bins.names
    else:
        yield from dict.fromkeys(bins.of(tag) for tag, owner in owners.items() if owner == bins.holder)


def owners_of(delegations: Delegations | None, tags: Iterable[Tag]) -> dict[str, str]:
    """By tag the role that answers for it."""
    return {tag.name: delegations.owner(tag.name).name if delegations else TARGETS for tag in tags}
