"""What the judge says of the bins of signers, in which they say what they signed (TRUST 3.3, 4.2, 4.3)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from tuf.api.metadata import Metadata, Snapshot, Targets

from trustkit.core.bins import Bins, prefix_of
from trustkit.core.delegations import Delegation, Delegations
from trustkit.core.formats.tuf1 import read
from trustkit.core.judged import State
from trustkit.core.places import Places
from trustkit.core.saidbins import MOST_PREFIXES, epoch_of, own_said, peek_said, prefixes_in, read_said, said_in
from trustkit.errors import BadDelegation


@dataclass(frozen=True, slots=True)
class Said:
    """The bins of signers, as an upload leaves them.

    Attributes:
        bins: by role that attributes.
        heads: those roles' files.
        by: by uploaded bin its role.
    """

    bins: Mapping[str, Bins] = field(default_factory=dict)
    heads: Mapping[str, Metadata[Targets]] = field(default_factory=dict)
    by: Mapping[str, str] = field(default_factory=dict)

    def delegator(self, role: str) -> Metadata[Targets] | None:
        """The file that says who signs an uploaded bin; None for whatever is none of these."""
        return self.heads[self.by[role]] if role in self.by else None

    def holder(self, role: str) -> str:
        """The role of an uploaded bin; raises BadDelegation where nobody's is."""
        if role not in self.by:
            raise BadDelegation(f"Nothing delegates to {role}.")
        return self.by[role]

    def check_owned(self, role: str, file: Targets) -> None:
        """Raises BadDelegation for a tag that another bin is for."""
        bins = self.bins[self.by[role]]
        for path in file.targets:
            if bins.of(path) != role:
                raise BadDelegation(f"{role}.json holds {path[:128]!r}, which {bins.of(path)} is for.")


def judge_said(
    state: State,
    after: Places,
    stored: Mapping[str, Metadata[Targets] | None],
    given: Mapping[str, Metadata[Targets]],
    others: Collection[str],
    now: datetime,
) -> Said:
    """Which bins signers have, and may have.

    A signer's bins stay what they are as long as its key does: whoever could have new ones again and again would
    use up the names that a snapshot has room for.

    Args:
        stored, given: the stored and the uploaded files of the roles that attribute.
        others: the uploaded bins that aren't those of tags.

    Raises:
        BadDelegation: bins by other keys than their role's, under a name that was in use or lies ahead, without a
            file, or in the place of those that there are; and one more where the snapshot has enough of them.
    """
    assert after.delegations is not None  # noqa: S101 - nobody attributes without
    heads = {**{role: file for role, file in stored.items() if file is not None}, **given}
    bins = {name: found for name, file in heads.items() if (found := _bins(name, file, after, strict=name in given))}
    new = {name: bins[name] for name in given if name in bins and not _same(bins[name], stored[name])}
    for name, file in given.items():
        _check_stays(after.delegations, name, file, stored[name], now)
    if new:
        _check_new(state, after, bins, new, others)
    by = {role: holder for role in others if (holder := said_in(role, bins)) is not None}
    return Said(bins, {name: heads[name] for name in bins}, by)


def _bins(name: str, file: Metadata[Targets], after: Places, *, strict: bool) -> Bins | None:
    """A role's bins; of a stored file that the role's key of now doesn't carry, none."""
    assert after.delegations is not None  # noqa: S101 - as above
    if strict:
        return read_said(_role(after.delegations, name), after.delegations.keys, file.signed)
    return own_said(after.delegations, {name: file.signed}).get(name)


def _role(delegations: Delegations, name: str) -> Delegation:
    role = delegations.get(name)
    assert role is not None  # noqa: S101 - the names are those of its roles
    return role


def _same(bins: Bins, stored: Metadata[Targets] | None) -> bool:
    if stored is None or stored.signed.delegations is None or stored.signed.delegations.succinct_roles is None:
        return False
    there = stored.signed.delegations.succinct_roles
    return (there.name_prefix, there.bit_length) == (bins.prefix, bins.bits)


def _check_stays(
    delegations: Delegations, name: str, given: Metadata[Targets], stored: Metadata[Targets] | None, now: datetime
) -> None:
    """Raises BadDelegation where a role gives up bins that its key carries still; what has expired says nothing."""
    if stored is None or stored.signed.expires <= now:
        return
    there = own_said(delegations, {name: stored.signed}).get(name)
    if there is not None and not there.same_files(peek_said(delegations, {name: given.signed}).get(name)):
        raise BadDelegation(
            f"What {name} signed lies in {there.prefix}, and stays there.", hint="Read the collection anew."
        )


def _check_new(
    state: State, after: Places, bins: Mapping[str, Bins], new: Mapping[str, Bins], others: Collection[str]
) -> None:
    meta = read(state.snapshot, Snapshot).signed.meta if state.snapshot else {}
    named = {name.removesuffix(".json") for name in meta}
    used = prefixes_in([*named, *state.files, *state.last])
    used |= {found.prefix for name, found in bins.items() if name not in new}
    used |= {after.bins.prefix} if after.bins else set()
    fresh = [found.prefix for found in new.values()]
    last = max(map(epoch_of, used), default=0)
    if len(used) + len(fresh) > MOST_PREFIXES:
        raise BadDelegation(f"The collection has {len(used)} sets of hash bins; no signer gets any more.")
    for name, found in new.items():
        if found.prefix in used or fresh.count(found.prefix) > 1:
            raise BadDelegation(f"The name {found.prefix} was in use for other bins before.")
        if epoch_of(found.prefix) > last + len(fresh):
            raise BadDelegation(f"The bins of {name} have the name {found.prefix}, and bins-{last + 1} is the next.")
        if not any(prefix_of(role) == found.prefix for role in others):
            raise BadDelegation(f"{name}.json delegates to bins of which none has come.")
