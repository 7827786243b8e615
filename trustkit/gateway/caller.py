"""Who is asking: what the token check hands to the gateway."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from trustkit.core.access import Action
from trustkit.core.names import Gun, PrincipalName, Repository
from trustkit.core.stamps import Stamp


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody with what they may do.

    Attributes:
        principal: None for somebody who sent no token.
        granted: what the token and the roles behind it grant in a repository.
        roles: what the roles alone grant, where that is known to be more.
        trusted: as ``granted``, of a collection: a token for pushing that names it whole, with the registry's host,
            is for signing, too.  Clients of Notary's API have no other word for it, and name images without the host.
        catalog: whether token and roles are for the list of everything.
        known_since: when the roles were read; None for nobody.
        begins, ends: when the token is taken, leeway included.
    """

    principal: PrincipalName | None
    granted: Callable[[Repository], frozenset[Action]]
    roles: Callable[[Repository], frozenset[Action]] = lambda _: frozenset()
    trusted: Callable[[Gun], frozenset[Action]] = lambda _: frozenset()
    catalog: bool = False
    known_since: Stamp | None = None
    begins: datetime | None = None
    ends: datetime | None = None

    def actions(self, repository: Repository) -> frozenset[Action]:
        """What this caller may do in this repository."""
        return self.granted(repository)

    def actions_for_head(self, repository: Repository) -> frozenset[Action]:
        """What decides whether this caller learns that a manifest is there or not (TRUST 7.3).

        Clients that push look first, some with a token to pull: Helm and whatever else is made with oras-go.  So who
        may push by role is told as much with that token.  It opens no content, and nothing without pull.
        """
        actions = self.granted(repository)
        return actions | (self.roles(repository) & {Action.PUSH}) if Action.PULL in actions else actions

    @property
    def known(self) -> bool:
        """Whether there is somebody at all."""
        return self.principal is not None


ANONYMOUS = Caller(None, lambda _: frozenset())
