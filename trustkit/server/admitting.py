"""Who may ask for what under ``_trust``, as far as a token goes, in both APIs."""

from __future__ import annotations

from collections.abc import Set

from trustkit.authority.access import require
from trustkit.authority.publish import Requester
from trustkit.core.access import Action, Operation
from trustkit.core.names import Gun
from trustkit.core.ports.service import Store
from trustkit.errors import LoginRequired
from trustkit.gateway.caller import Caller
from trustkit.gateway.exchange import Exchange


class InsufficientScope(LoginRequired):
    """The token doesn't reach this far, though its owner's roles do: ask for another one."""

    def __init__(self, gun: Gun, operation: Operation) -> None:
        super().__init__(f"The token is not for {operation.words} on {gun.repository}.", hint="Log in again.")
        self.actions = operation.actions | {Action.PULL}


async def admit(store: Store, caller: Caller, gun: Gun, operation: Operation, granted: Set[Action]) -> None:
    """A token is an upper bound; where it falls short, the roles say what to ask for (TRUST 8.1).

    Args:
        granted: what the token is for.

    Raises:
        LoginRequired: nobody is logged in.
        RoleMissing: the roles fall short, too; every one that lacks is listed.
        InsufficientScope: another token would do.
    """
    if caller.principal is None:
        raise InsufficientScope(gun, operation)
    if operation.actions <= granted:
        return
    async with store.read() as tx:
        await require(tx, caller.principal, gun.repository, operation)
    raise InsufficientScope(gun, operation)


def requester(exchange: Exchange, caller: Caller) -> Requester:
    """Who asks; raises LoginRequired for nobody."""
    if caller.principal is None:
        raise LoginRequired("Nobody is logged in.")
    return Requester(caller.principal, exchange.peer)
