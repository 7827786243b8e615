"""What a collection says, whoever signed it: its root and the files that hold tags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tuf.api.metadata import Root, TargetFile, Targets

from trustkit.core.delegations import TARGETS, Delegations, read_delegations
from trustkit.core.places import Places, peek_places


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
    def places(self) -> Places:
        """Who may sign which tags, and where they lie."""
        return peek_places(self.root, self.files)

    @property
    def entries(self) -> Mapping[str, tuple[str, TargetFile]]:
        """Every tag that is trusted, with its role and entry; of bins those that are here."""
        places = self.places
        return {
            path: (places.granting(file), entry)
            for file in places.files
            if file in self.files
            for path, entry in self.files[file].targets.items()
        }
