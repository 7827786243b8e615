"""What a principal may do, read in the transaction that acts on it (TRUST 8.1)."""

from __future__ import annotations

from trustkit.core.access import Action, Operation, granted, role_missing
from trustkit.core.names import PrincipalName, Repository
from trustkit.core.ports.service import Transaction


async def actions_of(tx: Transaction, principal: PrincipalName, repository: Repository) -> frozenset[Action]:
    """Every action that the principal's roles grant on the repository; none for a disabled or unknown one."""
    return granted(await tx.identities.held(principal), repository)


async def require(
    tx: Transaction, principal: PrincipalName, repository: Repository, operation: Operation
) -> frozenset[Action]:
    """The principal's actions on the repository, among them all that the operation takes.

    Raises:
        RoleMissing: ``context["missing"]`` lists every role that lacks, ``context["operation"]`` says for what.
    """
    actions = await actions_of(tx, principal, repository)
    if not operation.actions <= actions:
        raise role_missing(str(principal), repository, operation, actions)
    return actions
