"""Names of roles as Notary has them: the four of TUF, and delegations below ``targets/``."""

from __future__ import annotations

import re

from trustkit.core.names import TUF_ROLES, shown
from trustkit.errors import InvalidName

TARGETS = "targets"
RELEASES = "targets/releases"
"""The delegation that Docker asks before ``targets``; no other one is asked."""

MAX_ROLE = 255
_PART = re.compile(r"[-a-z0-9_]+\Z")


def is_delegation(role: str) -> bool:
    """Whether this can be the name of a delegation: ``targets/alice``, ``targets/team/bob``."""
    first, *parts = role.split("/")
    return len(role) <= MAX_ROLE and first == TARGETS and bool(parts) and all(_PART.match(part) for part in parts)


def check_role(role: str) -> str:
    """The name itself; raises InvalidName where no role can have it."""
    if role not in TUF_ROLES and not is_delegation(role):
        raise InvalidName(
            f"{shown(role)} can't be a role.",
            hint="A role is root, targets, snapshot, timestamp, or targets/NAME of a-z, 0-9, - and _.",
        )
    return role


def parent(role: str) -> str:
    """The role that delegates to this one."""
    return role.rpartition("/")[0]
