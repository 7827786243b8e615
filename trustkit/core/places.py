"""Which file of a collection a tag lies in: its delegations and its hash bins, as one."""

from __future__ import annotations

from collections.abc import Mapping

from tuf.api.metadata import Root, Targets

from trustkit.core.bins import Bins, holder_of, peek_bins, read_bins
from trustkit.core.delegations import TARGETS, Delegations, read_delegations
from trustkit.core.records import dataclass


@dataclass(frozen=True, slots=True)
class Places:
    """Who answers for tags, and where they lie.  Two are equal where every file is signed by the same rules."""

    delegations: Delegations | None
    bins: Bins | None

    def owner(self, tag: str) -> str:
        """The role that answers for a tag."""
        return self.delegations.owner(tag).name if self.delegations else TARGETS

    def file_of(self, tag: str) -> str:
        """The file that a tag lies in: its role's own, or a bin of it."""
        owner = self.owner(tag)
        return self.bins.of(tag) if self.bins is not None and owner == self.bins.holder else owner

    def granting(self, file: str) -> str:
        """The role whose tags a file has."""
        return self.bins.holder if self.bins is not None and file in self.bins else file

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that a tag can be trusted by."""
        return tuple(role.name for role in self.delegations.trusted) if self.delegations else (TARGETS,)

    @property
    def files(self) -> tuple[str, ...]:
        """The files that tags lie in, and the holder of the bins, which has none."""
        return (*self.roles, *(self.bins.names if self.bins else ()))


def read_places(root: Root, files: Mapping[str, Targets]) -> Places:
    """The places of a state.

    Args:
        files: by role; without the holder's file there are no bins.

    Raises:
        BadDelegation: as ``read_delegations`` and ``read_bins``.
    """
    delegations = read_delegations(files[TARGETS], root)
    held = files.get(holder_of(delegations))
    return Places(delegations, read_bins(delegations, root, held) if held is not None else None)


def peek_places(root: Root, files: Mapping[str, Targets]) -> Places:
    """As ``read_places``, whatever keys the bins name: for states that were verified, and drafts under way."""
    delegations = read_delegations(files[TARGETS], root)
    holder = holder_of(delegations)
    return Places(delegations, peek_bins(holder, files[holder]) if holder in files else None)
