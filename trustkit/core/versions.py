"""Which version of a file may follow which (TRUST 3.1, 3.4, 3.7)."""

from __future__ import annotations

from trustkit.core.names import Gun
from trustkit.errors import BadVersion, Conflict

LARGEST = 2**31 - 1
"""Versions stay below 2^31: stock clients are written in languages whose integers end there."""


def check_next(gun: Gun, role: str, new: int, used: int, ceiling: int = 0) -> bool:
    """Holds an uploaded version against the last one.

    Args:
        used: the last version that was used up; 0 for none.
        ceiling: the highest that a jump may reach; 0 where none is allowed.

    Returns:
        Whether it is a jump.

    Raises:
        Conflict: it was used already; ``context["versions"]`` says how far the role is.
        BadVersion: it is not the next one, nor a jump that is allowed.
    """
    if new == used + 1:
        return False
    if new <= used:
        raise Conflict(
            f"{role} of {gun} is at version {used} already.",
            hint="Fetch the current state and apply the change to it.",
            versions={role: used},
        )
    if new <= ceiling:
        return True
    raise BadVersion(f"{role} of {gun} is at version {used}; {new} can't follow it.")
