"""Proposals in the way of a publish, and what a dropped one uses up (TRUST 3.10)."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from trustkit.core.draft import MAX_JUMP
from trustkit.core.formats.tuf1 import payload_digest, read, role_kind
from trustkit.core.names import Gun
from trustkit.core.ports.proposals import DroppedPayload, OpenProposal
from trustkit.core.ports.service import StoredFile, Transaction
from trustkit.errors import ProposalOpen


def require_free(gun: Gun, roles: Collection[str], holders: Mapping[str, str]) -> None:
    """Raises ProposalOpen where an open proposal has one of these roles.

    Args:
        holders: by role the id of the open proposal that has it.
    """
    for role in sorted(roles):
        if role in holders:
            raise ProposalOpen(
                f"Proposal {holders[role]} of {gun} has {role} and waits for signatures.",
                hint=f"Look at it: trustkit proposal show {gun} {holders[role]}; then approve it, or drop it.",
                id=holders[role],
                role=role,
            )


async def use_up(tx: Transaction, gun: Gun, proposal: OpenProposal, current: Mapping[str, StoredFile]) -> None:
    """Drops a proposal so that the signatures that it collected can't come back.

    Its versions are used up, and its payloads are remembered.  For two cases the payloads alone have to do: versions
    of root can't be skipped, as clients walk from one to the next; and no role gets more than ``MAX_JUMP`` ahead of
    what is served, as clients sign nothing further ahead.
    """
    for role, file in proposal.files.items():
        digest = payload_digest(read(file.data, role_kind(role), f"{role}.json").signed)
        await tx.proposals.drop(gun, DroppedPayload(role, file.version, digest))
        served = current[role].version if role in current else 0
        if role != "root":
            await tx.proposals.consume(gun, role, min(file.version, served + MAX_JUMP))
    await tx.proposals.remove(gun, proposal.id)
