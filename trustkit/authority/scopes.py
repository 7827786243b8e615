"""Scopes of registry token authentication, and what of them a principal gets."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from trustkit.authority.settings import content_trust, trust_only
from trustkit.authority.tokens import Access
from trustkit.core.access import GRANTS, Action, Assignment, granted
from trustkit.core.names import Gun, Host, PrincipalName, Repository, looks_like_host
from trustkit.core.ports.service import Transaction
from trustkit.errors import InvalidName, Malformed

MAX_SCOPES = 32
MAX_SCOPE = 1024
CATALOG = Access("registry", "catalog", frozenset({"*"}))


@dataclass(frozen=True, slots=True)
class Scope:
    """``type:name:action,action``: the type up to the first colon, the actions after the last one, because the name
    may hold a host with its port."""

    type: str
    name: str
    actions: frozenset[str]


def parse_scopes(texts: Iterable[str]) -> tuple[Scope, ...]:
    """The scopes of a request; what isn't one is left out, and so grants nothing.

    Raises:
        Malformed: more than 32 scopes, or one of more than 1,024 characters.
    """
    words = [word for text in texts for word in text.split()]
    if len(words) > MAX_SCOPES or any(len(word) > MAX_SCOPE for word in words):
        raise Malformed(f"A token takes at most {MAX_SCOPES} scopes of at most {MAX_SCOPE} characters.")
    scopes = []
    for word in words:
        kind, first, rest = word.partition(":")
        name, last, actions = rest.rpartition(":")
        if first and last and kind and name and actions:
            scopes.append(Scope(kind, name, frozenset(actions.split(",")) - {""}))
    return tuple(scopes)


def repository_of(name: str, hosts: Collection[Host]) -> Repository | None:
    """The repository that a scope names: bare, or behind one of our public names; None for anything else."""
    try:
        if looks_like_host(name.partition("/")[0]):
            gun = Gun.parse(name)
            return gun.repository if gun.host in hosts else None
        return Repository.parse(name)
    except InvalidName:
        return None


@dataclass(frozen=True, slots=True)
class Granting:
    """Grants scopes.

    Attributes:
        hosts: the service's public names.
        direct: the audience is a registry that clients reach without the gate, so trust-only repositories are not
            pulled there except by who may sign (TRUST 7.5).
    """

    hosts: Collection[Host]
    direct: bool

    async def grant(self, tx: Transaction, principal: PrincipalName, scopes: Iterable[Scope]) -> tuple[Access, ...]:
        """What the principal's roles give of each scope; a scope of which nothing is left is left out."""
        assignments = await tx.identities.assignments(principal)
        entries = []
        for scope in scopes:
            if scope.type == "registry" and scope.name == "catalog" and "*" in scope.actions:
                if pulls_everything(assignments):
                    entries.append(CATALOG)
                continue
            repository = repository_of(scope.name, self.hosts) if scope.type == "repository" else None
            if repository is None:
                continue
            allowed = granted(assignments, repository)
            if self.direct:
                allowed = await _past_the_gate(tx, repository, allowed)
            actions = frozenset(a.value for a in allowed if a.value in scope.actions or "*" in scope.actions)
            if actions:
                entries.append(Access(scope.type, scope.name, actions))
        return tuple(entries)


def pulls_everything(assignments: Iterable[Assignment]) -> bool:
    """Whether these roles are enough for the list of everything."""
    return any(held.pattern.text == "*" and Action.PULL in GRANTS[held.role] for held in assignments)


async def _past_the_gate(tx: Transaction, repository: Repository, allowed: frozenset[Action]) -> frozenset[Action]:
    if not await trust_only(tx, repository):
        return allowed
    if Action.SIGN in allowed and await content_trust(tx):
        return allowed
    return allowed - {Action.PULL}
