"""What a collection says, whoever signed it: its root and the files that hold tags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tuf.api.metadata import Root, TargetFile, Targets

from trustkit.core.delegations import TARGETS, Delegations, read_delegations


@dataclass(frozen=True, slots=True)
class Shape:
    """A collection's state without signatures: its root, and by role every file that holds tags."""

    root: Root
    files: Mapping[str, Targets]

    @property
    def delegations(self) -> Delegations | None:
        """Who may sign which tags."""
        return read_delegations(self.files[TARGETS], self.root)

    @property
    def entries(self) -> Mapping[str, tuple[str, TargetFile]]:
        """Every tag that is trusted, with its role and entry."""
        delegations = self.delegations
        roles = [role.name for role in delegations.trusted] if delegations else [TARGETS]
        return {
            path: (role, entry)
            for role in roles
            if role in self.files
            for path, entry in self.files[role].targets.items()
        }
