"""What becomes of a change: published, or left as a proposal for others to sign (TRUST 3.10)."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from tuf.api.metadata import Root

from trustkit.client.trust import Current
from trustkit.core.delegations import Delegations, Kind
from trustkit.core.names import Digest, Gun, Tag
from trustkit.core.proposals import Proposal
from trustkit.core.view import SignedView


class Leave(enum.Enum):
    """Whether a change is left as a proposal: not at all, where signatures are missing, or in any case."""

    NEVER = "never"
    IF_NEEDED = "if needed"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Outcome:
    """``current`` is what a consumer gets now; with a proposal, the change is not in it."""

    current: Current
    proposal: Proposal | None = None

    @property
    def view(self) -> SignedView:
        """What ``current`` says."""
        return self.current.view


def holders(delegations: Delegations | None, root: Root) -> Mapping[str, str]:
    """By key id in words whose key it is: a signer's name, or the role of the root that it has."""
    words = dict.fromkeys(root.roles["root"].keyids, "a root key")
    words |= dict.fromkeys(root.roles["targets"].keyids, "a repository key")
    for role in delegations.roles if delegations else ():
        if role.kind is not Kind.RELEASES:
            words |= {key_id: role.name for key_id in role.key_ids if key_id not in words}
    return words


def waiting(gun: Gun, proposal: Proposal, names: Mapping[str, str]) -> list[str]:
    """Who else has to sign, a sentence a line."""
    lines = []
    for what, lack in proposal.told:
        more = f"{lack.count} more signature{'s' if lack.count > 1 else ''}"
        lines.append(f"Proposal {proposal.id}: {what} takes {more}, as {lack.delegator} says, by the keys")
        lines += [f"  {key_id}  {names.get(key_id, '')}".rstrip() for key_id in lack.key_ids]
    return [*lines, f"Whoever has one of them runs: trustkit approve {gun} {proposal.id}"]


def meanwhile(gun: Gun, before: SignedView, after: SignedView) -> list[str]:
    """What somebody else has changed of the tags that were looked at, a sentence a line."""
    lines = []
    for tag in sorted({*before.targets, *after.targets}):
        old, new = _digest(before, tag), _digest(after, tag)
        if old != new:
            lines.append(
                f"{gun}:{tag} was meanwhile changed by somebody else: {old or 'unsigned'} -> {new or 'revoked'}"
            )
    return lines


def _digest(view: SignedView, tag: Tag) -> Digest | None:
    target = view.targets.get(tag)
    return target.digest if target else None
