"""Who may do what: roles and the actions they grant, as one table.

The roles have the names and the safer reading of Azure Container Registry's built-in roles: Owner and Contributor
push and delete but don't sign, AcrImageSigner signs but neither pulls nor pushes, so publishing needs AcrPush as
well (TRUST 8.1).
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from trustkit.core.names import Repository
from trustkit.core.patterns import RepositoryPattern
from trustkit.errors import InvalidName, RoleMissing


class Action(enum.StrEnum):
    """What can be done to a repository; the words of registry token scopes where those have one."""

    PULL = "pull"
    PUSH = "push"
    DELETE = "delete"
    SIGN = "sign"
    RESET = "reset"


class Role(enum.StrEnum):
    """A role that a principal can have on a pattern of repositories."""

    ACR_PULL = "AcrPull"
    ACR_PUSH = "AcrPush"
    ACR_DELETE = "AcrDelete"
    ACR_IMAGE_SIGNER = "AcrImageSigner"
    READER = "Reader"
    CONTRIBUTOR = "Contributor"
    OWNER = "Owner"

    @classmethod
    def named(cls, text: str) -> Role:
        """The role of this name, in any case; raises InvalidName with the list of names."""
        for role in cls:
            if role.value.lower() == text.lower():
                return role
        raise InvalidName(f"{text!r} is not a role.", hint=f"Roles: {', '.join(r.value for r in cls)}.")


GRANTS: dict[Role, frozenset[Action]] = {
    Role.ACR_PULL: frozenset({Action.PULL}),
    Role.ACR_PUSH: frozenset({Action.PULL, Action.PUSH}),
    Role.ACR_DELETE: frozenset({Action.DELETE}),
    Role.ACR_IMAGE_SIGNER: frozenset({Action.SIGN}),
    Role.READER: frozenset({Action.PULL}),
    Role.CONTRIBUTOR: frozenset({Action.PULL, Action.PUSH, Action.DELETE}),
    Role.OWNER: frozenset({Action.PULL, Action.PUSH, Action.DELETE, Action.RESET}),
}

REMEDY: dict[Action, Role] = {
    Action.PULL: Role.ACR_PULL,
    Action.PUSH: Role.ACR_PUSH,
    Action.DELETE: Role.ACR_DELETE,
    Action.SIGN: Role.ACR_IMAGE_SIGNER,
    Action.RESET: Role.OWNER,
}
"""The smallest role that grants an action: what a refusal tells the user to ask for."""


class Operation(enum.Enum):
    """What the service does for somebody, with the actions that it takes."""

    READ_TRUST = ("read trust data", frozenset({Action.PULL}))
    PUBLISH = ("publish signatures", frozenset({Action.PUSH, Action.SIGN}))
    REGISTRY_VIEW = ("see the registry's own tags", frozenset({Action.PULL, Action.SIGN}))
    PULL_IMAGE = ("pull", frozenset({Action.PULL}))
    PUSH_IMAGE = ("push", frozenset({Action.PULL, Action.PUSH}))
    DELETE_IMAGE = ("delete", frozenset({Action.DELETE}))
    RESET_COLLECTION = ("reset a collection", frozenset({Action.RESET}))

    def __init__(self, words: str, actions: frozenset[Action]) -> None:
        self.words = words
        self.actions = actions


@dataclass(frozen=True, slots=True)
class Assignment:
    """One role of one principal on the repositories of one pattern."""

    role: Role
    pattern: RepositoryPattern


def granted(assignments: Iterable[Assignment], repository: Repository) -> frozenset[Action]:
    """Every action that these assignments grant on this repository."""
    actions: set[Action] = set()
    for assignment in assignments:
        if assignment.pattern.matches(repository):
            actions |= GRANTS[assignment.role]
    return frozenset(actions)


def missing_roles(actions: frozenset[Action], operation: Operation) -> tuple[Role, ...]:
    """The roles to ask for before ``operation`` is allowed; empty where it is allowed now."""
    lacking = operation.actions - actions
    if Action.PUSH in lacking:
        lacking -= {Action.PULL}
    return tuple(sorted((REMEDY[action] for action in lacking), key=list(Role).index))


def role_missing(who: str, repository: Repository, operation: Operation, actions: frozenset[Action]) -> RoleMissing:
    """The refusal of an operation; ``context["missing"]`` lists every role that lacks."""
    names = [role.value for role in missing_roles(actions, operation)]
    return RoleMissing(
        f"{who} may not {operation.words} on {repository}: {' and '.join(names)} missing.",
        hint="Ask an operator to assign what is missing: trustkit admin role assign.",
        missing=names,
        repository=str(repository),
        operation=operation.name.lower().replace("_", "-"),
    )
