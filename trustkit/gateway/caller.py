"""Who is asking: what the token check hands to the gateway."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from trustkit.core.access import Action
from trustkit.core.names import PrincipalName, Repository


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody with what they may do.

    Attributes:
        principal: None for somebody who sent no token.
        granted: what the token and the roles behind it grant in a repository.
    """

    principal: PrincipalName | None
    granted: Callable[[Repository], frozenset[Action]]

    def actions(self, repository: Repository) -> frozenset[Action]:
        """What this caller may do in this repository."""
        return self.granted(repository)

    @property
    def known(self) -> bool:
        """Whether there is somebody at all."""
        return self.principal is not None


ANONYMOUS = Caller(None, lambda _: frozenset())
