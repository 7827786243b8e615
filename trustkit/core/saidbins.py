"""The bins of signers: where it lies what a signer of ``releases`` says that it signed (TRUST 4.2, 4.3).

A role that only attributes has one file, until the collection's tags lie in hash bins and it has more than a few.
From then on its file delegates to bins of its own, by the role's one key, and a tag is said in the bin that the
SHA-256 of its name says.  Only those are made that something is said in: no walk of a TUF client comes this far, so
none misses the others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from securesystemslib.signer import Key
from tuf.api.metadata import Targets

from trustkit.core.bins import Bins, peek_bins, prefix_of
from trustkit.core.delegations import Delegation, Delegations, Kind
from trustkit.core.growth import Growth
from trustkit.core.names import BINS
from trustkit.core.places import Places
from trustkit.errors import BadDelegation

SAID_BITS = 10
"""No signer has more bins than 2 to the power of this."""
MOST_PREFIXES = 40
"""How many prefixes of bins a snapshot has before no signer gets any more: with 1,024 names each it has 1.5 MB then,
of the 2 MB that stock clients take."""
SAID_ABOVE = 100
"""With more tags than these in a signer's file, beside tags in hash bins, it gets bins: then no signature costs much,
and dividing takes no more signatures than there are tags."""


def peek_said(delegations: Delegations | None, files: Mapping[str, Targets]) -> dict[str, Bins]:
    """By role that attributes the bins that its file delegates to, whoever's keys they name.

    Raises:
        BadDelegation: a file that delegates to something else.
    """
    found = {}
    for role in delegations.roles if delegations else ():
        if role.kind is Kind.ATTRIBUTION and role.name in files:
            bins = peek_bins(role.name, files[role.name])
            if bins is not None:
                found[role.name] = bins
    return found


def is_own(bins: Bins, role: Delegation, keys: Mapping[str, Key]) -> bool:
    """Whether bins repeat the one key of the role that attributes (TRUST 4.3)."""
    key = {key_id: keys[key_id] for key_id in role.key_ids}
    return (dict(bins.keys), bins.threshold, bins.bits <= SAID_BITS) == (key, 1, True)


def read_said(role: Delegation, keys: Mapping[str, Key], file: Targets) -> Bins | None:
    """The bins of one role that attributes; None where its own file has the tags.

    Raises:
        BadDelegation: as ``peek_bins``, more bins than signers have, and bins with other keys than the role's.
    """
    bins = peek_bins(role.name, file)
    if bins is not None and not is_own(bins, role, keys):
        raise BadDelegation(
            f"The bins of {role.name} have other keys or another threshold than {role.name} itself, or are too many.",
            hint=f"Sign {role.name} anew with the key that it has now.",
        )
    return bins


def own_said(delegations: Delegations | None, files: Mapping[str, Targets]) -> dict[str, Bins]:
    """As ``peek_said``, of roles whose bins repeat their key of now."""
    found = peek_said(delegations, files)
    roles = {role.name: role for role in delegations.roles} if delegations else {}
    keys = delegations.keys if delegations else {}
    return {name: bins for name, bins in found.items() if is_own(bins, roles[name], keys)}


def said_in(role: str, said: Mapping[str, Bins]) -> str | None:
    """The role that attributes by a bin; None for whatever is no bin of theirs."""
    return next((name for name, bins in said.items() if role in bins), None) if prefix_of(role) else None


def attributing(places: Places | None, files: Collection[str]) -> frozenset[str]:
    """Those of these files that only attribute, and grant no trust whatever they say."""
    roles = places.delegations.roles if places and places.delegations else ()
    holders = places.bins if places else None
    named = {role.name for role in roles if role.kind is Kind.ATTRIBUTION}
    return frozenset(
        file for file in files if file in named or (prefix_of(file) and not (holders is not None and file in holders))
    )


def prefixes_in(names: Iterable[str]) -> set[str]:
    """The prefixes of the bins among these roles' names."""
    return {prefix for name in names if (prefix := prefix_of(name))}


def may_divide(count: int, growth: Growth, prefixes: Collection[str]) -> bool:
    """Whether so many tags in a signer's file are too many, and there are names left for its bins."""
    return 0 < min(growth.above, SAID_ABOVE) < count and len(prefixes) < MOST_PREFIXES


def epoch_of(prefix: str) -> int:
    """The number in a prefix."""
    return int(prefix.removeprefix(BINS))
