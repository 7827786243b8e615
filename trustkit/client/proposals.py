"""Looking at proposals, approving and dropping them (TRUST 3.10)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tuf.api.metadata import Metadata

from trustkit.client.holding import lacking, usable
from trustkit.client.outcome import Outcome, holders, waiting
from trustkit.client.publish import Publisher, Read, floors_of
from trustkit.client.trust import Current, Trust
from trustkit.core.approval import examine
from trustkit.core.delegations import RELEASES
from trustkit.core.difference import Difference, difference
from trustkit.core.draft import Draft
from trustkit.core.formats.tuf1 import sign
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.names import Gun
from trustkit.core.needs import signers_of
from trustkit.core.ports.keys import KeyInfo, KeyStore
from trustkit.core.ports.proposing import ProposalService
from trustkit.core.proposals import Proposal
from trustkit.core.saidbins import said_in
from trustkit.errors import Conflict, Expired, ProposalStale


@dataclass(frozen=True, slots=True)
class Shown:
    """A proposal, examined: what it would change of the verified current state.

    Attributes:
        difference: None for one that is stale: it would change nothing any more.
        names: by key id whose key it is, in words.
    """

    proposal: Proposal
    difference: Difference | None
    names: Mapping[str, str]


class Proposals:
    """The use cases of ``trustkit proposal`` and ``trustkit approve``."""

    def __init__(
        self,
        service: ProposalService,
        keys: KeyStore,
        trust: Trust,
        publisher: Publisher,
        *,
        lifetimes: Lifetimes,
        clock: Callable[[], datetime],
        say: Callable[[str], None],
    ) -> None:
        self._service = service
        self._keys = keys
        self._trust = trust
        self._publisher = publisher
        self._lifetimes = lifetimes
        self._clock = clock
        self._say = say

    def list(self, gun: Gun) -> list[Proposal]:
        """Every open one, the oldest first, as the service tells of them."""
        return self._service.proposals(gun)

    def show(self, gun: Gun, identifier: str) -> Shown:
        """What a proposal would change.

        Raises:
            NotFound: there is none.
            Rejected leaves: see ``core.approval.examine``.
            everything that ``Trust.current`` raises.
        """
        proposal, files = self._service.proposal(gun, identifier)
        draft = self._draft(gun, self._base(gun)[0])
        if proposal.stale:
            return Shown(proposal, None, _names(draft))
        examine(draft, identifier, files)
        return Shown(proposal, difference(draft.before, draft.after), _names(draft))

    def approve(self, gun: Gun, identifier: str, agree: Callable[[Difference], None]) -> Outcome:
        """Signs what a proposal has with the keys here that it lacks; with the last signature it is published.

        Args:
            agree: is shown what it would change, before a key is touched, and raises where it may not.

        Raises:
            KeyMissing, WrongKeyRole: no key is here that the proposal lacks, or it is kept for something else.
            ProposalStale: it can't become current any more.
            everything that ``show`` raises.
        """
        proposal, files = self._service.proposal(gun, identifier)
        if proposal.stale:
            raise ProposalStale(
                f"Proposal {identifier} of {gun} can't become current any more: {proposal.stale}",
                hint=f"Drop it and propose anew: trustkit proposal drop {gun} {identifier}",
            )
        base, read = self._base(gun)
        draft = self._draft(gun, base)
        examined = examine(draft, identifier, files)
        agree(difference(draft.before, draft.after))
        chosen = self._choose(draft, examined, identifier)
        try:
            step = self._service.approve(gun, identifier, self._signed(draft, examined, chosen))
        except Conflict as conflict:
            # The file that says what an approver signed may have had a version that a dropped proposal used up.
            draft = self._draft(gun, base, floors_of(conflict))
            examine(draft, identifier, files)
            step = self._service.approve(gun, identifier, self._signed(draft, examined, chosen))
        if step.proposal is None:
            return Outcome(
                self._publisher.read_back(gun, base.pin, step.versions, lambda _gun, _view: None, read=read)
            )
        for line in waiting(gun, step.proposal, _names(draft)):
            self._say(line)
        return Outcome(base, step.proposal)

    def drop(self, gun: Gun, identifier: str) -> Proposal:
        """Ends a proposal: what was signed for it can't come back.  Raises NotFound.

        Returns:
            What it was, as the service tells of it.
        """
        proposal, _ = self._service.proposal(gun, identifier)
        self._service.drop(gun, identifier)
        return proposal

    def _base(self, gun: Gun) -> tuple[Current, Read | None]:
        """The state that a proposal is held against, and what reads it back; one that has expired can be renewed."""
        now = self._clock()
        pin = self._trust.pin(gun)
        try:
            return self._trust.under(pin, gun, now), None
        except Expired:
            return self._trust.renewable(pin, gun, now), self._trust.renewable

    def _draft(self, gun: Gun, base: Current, floors: Mapping[str, int] | None = None) -> Draft:
        return Draft(gun, base.files, now=self._clock(), lifetimes=self._lifetimes, floors=floors)

    def _choose(
        self, draft: Draft, files: Mapping[str, Metadata[Any]], identifier: str
    ) -> Mapping[str, Mapping[str, KeyInfo]]:
        """By role the keys here that sign: those that may and haven't yet, as many as are missing."""
        chosen: dict[str, dict[str, KeyInfo]] = {}
        wanted: dict[str, str] = {}
        for role, file in files.items():
            for need in draft.needs(role):
                signed = signers_of(need, file)
                rest = {key_id: key for key_id, key in need.keys.items() if key_id not in signed}
                count = max(need.threshold - len(signed), 0)
                wanted |= dict.fromkeys(rest, role) if count else {}
                here = usable(self._keys, need.role, rest)[:count]
                if here:
                    chosen.setdefault(role, {}).update({info.id: info for info in here})
        if not chosen:
            roles = list(dict.fromkeys(wanted.values()))
            raise lacking(
                self._keys,
                roles[0] if roles else "",
                wanted,
                f"Proposal {identifier} of {draft.gun} lacks signatures of keys of {', '.join(roles)}",
                hint="Their holders have to approve it.",
            )
        return chosen

    def _signed(
        self, draft: Draft, files: Mapping[str, Metadata[Any]], chosen: Mapping[str, Mapping[str, KeyInfo]]
    ) -> Mapping[str, bytes]:
        """The files with one's own signatures, and the file that says which tags one signed."""
        signing = {role: dict(infos) for role, infos in chosen.items()}
        delegations = draft.delegations
        places = draft.places
        of_releases = [infos for role, infos in chosen.items() if places.granting(role) == RELEASES]
        for key_id, info in {key_id: info for infos in of_releases for key_id, info in infos.items()}.items():
            attributes = delegations.attributions.get(key_id) if delegations else None
            if attributes and attributes.name not in {said_in(role, draft.said) or role for role in files}:
                signing |= {role: {key_id: info} for role in draft.attribute(key_id, self._publisher.growth)}
        signers = {info.id: self._keys.unlock(info) for infos in signing.values() for info in infos.values()}
        payloads = draft.changed
        return {role: sign(payloads[role], {k: signers[k] for k in infos}) for role, infos in signing.items()}


def _names(draft: Draft) -> Mapping[str, str]:
    return {**holders(draft.before.delegations, draft.old_root), **holders(draft.delegations, draft.root)}
