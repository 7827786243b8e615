"""What the client's use cases need from a service that keeps proposals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from trustkit.core.names import Gun
from trustkit.core.proposals import Proposal


@dataclass(frozen=True, slots=True)
class Step:
    """What came of opening or approving: still a proposal, or the versions that are current now."""

    proposal: Proposal | None
    versions: Mapping[str, int]


class ProposalService(Protocol):
    """The proposals of the service that a GUN's host names.

    Errors are those of ``TrustService.publish``; NotFound where there is no such proposal, ProposalOpen where another
    one is in the way, ProposalStale for one that can't become current any more.  Nothing that it tells is believed:
    who approves examines the files.
    """

    def proposals(self, gun: Gun) -> list[Proposal]: ...

    def proposal(self, gun: Gun, identifier: str) -> tuple[Proposal, Mapping[str, bytes]]:
        """A proposal and its files by role."""
        ...

    def propose(self, gun: Gun, files: Mapping[str, bytes]) -> Step:
        """Opens one with these files, signed as far as the keys here go."""
        ...

    def approve(self, gun: Gun, identifier: str, files: Mapping[str, bytes]) -> Step:
        """Sends the same files with one's own signatures."""
        ...

    def drop(self, gun: Gun, identifier: str) -> None:
        """Ends one."""
        ...
