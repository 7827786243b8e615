"""What a migration loses, and what somebody has to say to lose it."""

from __future__ import annotations

from dataclasses import dataclass

from trustkit.core.migration import MigrationPlan
from trustkit.errors import ConsentMissing, UsageError


@dataclass(frozen=True, slots=True)
class Consents:
    """What somebody has agreed to beforehand.

    Attributes:
        lacking: clients that hold a root which isn't to be had can't follow.
        rest: delegations that the service would refuse stay behind.
        stale: the server's own files have expired, so its state may be an old one.
    """

    lacking: bool = False
    rest: bool = False
    stale: bool = False


def require_consents(plan: MigrationPlan, consents: Consents) -> None:
    """Holds a plan against what was agreed to beforehand.

    Raises:
        ConsentMissing: something has to be mended first.
        UsageError: something would be lost, and nobody has agreed to that.
    """
    gun = plan.gun
    if plan.problems:
        raise ConsentMissing(
            f"{gun} can't be migrated as it is: {plan.problems[0]}",
            hint="Mend it, then look again with --dry-run.",
            problems=list(plan.problems),
        )
    if plan.losses and not consents.rest:
        left = plan.losses[0]
        raise UsageError(
            f"{left.role} of {gun} {left.why}, and its key is not here, so it can't come along.",
            hint=f"To mend it, {left.mend}. To leave such roles behind: --drop-rest.",
            left=[each.role for each in plan.losses],
        )
    if plan.lacking and not consents.lacking:
        raise UsageError(
            f"The roots 1 to {plan.lacking} of {gun} are not to be had any more, so clients that hold one of them "
            "can't follow.",
            hint="They begin anew where their cache of it is deleted. To go on without those roots: "
            "--without-old-roots.",
        )
    if plan.stale and not consents.stale:
        raise UsageError(
            f"The {' and '.join(plan.stale)} of {gun} has expired there, so this may be an old state of it.",
            hint="Compare the tags with what you know; if it is the last state: --accept-expired.",
        )
