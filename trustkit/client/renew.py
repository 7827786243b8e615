"""Renewing what expires, and what has expired already: the same contents, signed anew with a later expiry."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from trustkit.client.outcome import Leave
from trustkit.client.publish import Publisher
from trustkit.client.status import standing_of
from trustkit.client.trust import Current, Trust
from trustkit.core.draft import Draft
from trustkit.core.health import RoleHealth
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.names import Gun, Tag
from trustkit.core.ports.keys import KeyStore
from trustkit.core.ports.proposing import ProposalService
from trustkit.core.proposals import Proposal
from trustkit.errors import BadExpiry, KeyMissing, NotFound, UsageError


@dataclass(frozen=True, slots=True)
class Plan:
    """What a renewal of one collection would do.

    Attributes:
        renew: the roles that the keys here are enough for.
        propose: the roles that need others' signatures, too.
        lacking: the roles that expire and whose keys are elsewhere.
    """

    gun: Gun
    base: Current
    renew: tuple[RoleHealth, ...]
    propose: tuple[RoleHealth, ...]
    lacking: tuple[RoleHealth, ...]

    def tags(self, role: RoleHealth) -> list[Tag]:
        """The tags that a role's file signs, and that the renewal signs anew."""
        return sorted(tag for tag, target in self.base.view.targets.items() if target.role == role.name)


@dataclass(frozen=True, slots=True)
class Renewed:
    """What a renewal came to.

    Attributes:
        roles: those that were renewed, as they are now.
        trusted: whether consumers take the collection again.
        lacking: what still blocks, or soon will, and can't be renewed with the keys here.
    """

    gun: Gun
    roles: tuple[RoleHealth, ...]
    proposals: tuple[Proposal, ...]
    trusted: bool
    lacking: tuple[RoleHealth, ...]


class Renew:
    """The use case of ``trustkit renew``.

    Args:
        trust: with a ``looking`` source.
        lifetimes: those that the publisher signs with.
    """

    def __init__(
        self,
        publisher: Publisher,
        trust: Trust,
        keys: KeyStore,
        proposals: ProposalService,
        *,
        lifetimes: Lifetimes,
        clock: Callable[[], datetime],
    ) -> None:
        self._life = lifetimes.default
        self._publisher = publisher
        self._trust = trust
        self._keys = keys
        self._proposals = proposals
        self._clock = clock

    def plan(self, gun: Gun, *, roles: Collection[str] = (), within: timedelta | None) -> Plan:
        """What there is to renew.

        Args:
            roles: these, whenever they expire; all where there are none.
            within: what expires in less than this; None for everything.

        Raises:
            NotFound: there is no such role.
            UsageError: a role that the service renews.
            Expired: snapshot or timestamp: nobody but the service can mend that.
            BadExpiry: by a clock that is wrong, it would expire sooner than it does now.
            everything that ``Trust.renewable`` raises.
        """
        now = self._clock()
        base = self._trust.renewable(self._trust.pin(gun), gun, now)
        latest = self._trust.latest(gun, base.view.issued, now)
        found = standing_of(base, self._keys, now=latest, within=within or timedelta(0)).roles
        check_roles(gun, roles, found)
        due = [role for role in found if not role.online and is_due(role, roles, whole=within is None)]
        if words := self._trust.clock_words(gun, base.view.issued, now):
            self._check_later(gun, [role for role in due if role.here], now, words)
        return Plan(
            gun,
            base,
            renew=tuple(role for role in due if role.renewable),
            propose=tuple(role for role in due if role.here and not role.renewable),
            lacking=tuple(role for role in due if not role.here),
        )

    def __call__(self, plan: Plan) -> Renewed:
        """Publishes what a plan says: first what the keys here are enough for, then proposals for the rest.

        Raises:
            KeyMissing, WrongKeyRole: none of the keys of what expires is here, or it is kept for something else.
            ProposalOpen: a proposal has one of the roles.
            everything that ``Publisher.change`` raises.
        """
        if plan.lacking and not plan.renew and not plan.propose and any(role.blocks for role in plan.lacking):
            raise missing(plan.gun, plan.lacking, self._keys.place)
        view = self._published(plan.gun, plan.base, [role.name for role in plan.renew])
        waiting = self._open(plan.gun) if plan.propose else set()
        fresh = [role for role in plan.propose if role.name not in waiting]
        left = [self._proposed(plan, role.name) for role in fresh]
        now = self._clock()
        after = standing_of(view, self._keys, now=now, within=timedelta(0))
        if after.trusted:
            self._trust.under(plan.base.pin, plan.gun, now)
        done = {role.name for role in plan.renew}
        return Renewed(
            plan.gun,
            tuple(role for role in after.roles if role.name in done),
            tuple(proposal for proposal in left if proposal is not None),
            after.trusted,
            plan.lacking,
        )

    def _check_later(self, gun: Gun, roles: Collection[RoleHealth], now: datetime, words: str) -> None:
        for role in roles:
            ends = now + self._life["root" if role.name == "root" else "targets"]
            if role.expires is not None and ends <= role.expires:
                raise BadExpiry(
                    f"{gun}: {role.name} expires at {role.expires:%Y-%m-%d %H:%M} UTC, and renewed by this machine's "
                    f"clock it would at {ends:%Y-%m-%d %H:%M} UTC, no later.",
                    hint=f"{words} Set it right, then try again.",
                    role=role.name,
                )

    def _published(self, gun: Gun, base: Current, roles: list[str]) -> Current:
        if not roles:
            return base
        self._publisher.change(
            gun,
            lambda draft: renew(draft, roles),
            base=base,
            leave=Leave.NEVER,
            read=self._trust.renewable,
        )
        return self._trust.renewable(base.pin, gun, self._clock())

    def _proposed(self, plan: Plan, role: str) -> Proposal | None:
        """One proposal a role, so that each role's holders approve theirs; on the state of this moment."""
        base = self._trust.renewable(plan.base.pin, plan.gun, self._clock())
        return self._publisher.change(
            plan.gun, lambda draft: renew(draft, [role]), base=base, read=self._trust.renewable
        ).proposal

    def _open(self, gun: Gun) -> set[str]:
        return {role for proposal in self._proposals.proposals(gun) for role in proposal.versions}


def renew(draft: Draft, roles: Collection[str]) -> None:
    """Has the draft sign these roles anew, their contents as they are; with who has hash bins all of them."""
    bins = draft.places.bins
    said = [name for role, theirs in draft.said.items() if role in roles for name in theirs.names]
    said = [name for name in said if draft.targets(name)]
    for role in [*roles, *(bins.names if bins and bins.holder in roles else ()), *said]:
        if role == "root":
            draft.edit_root()
        elif draft.targets(role) is not None:
            draft.edit(role)


def missing(gun: Gun, lacking: Collection[RoleHealth], place: str) -> KeyMissing:
    """The error for roles that expire and whose keys are elsewhere: who can renew them."""
    told = "; ".join(f"{role.name} takes {role.renewer}" for role in lacking)
    names = {role.name for role in lacking}
    root = f" Where root keys are kept offline: trustkit root propose {gun}." if "root" in names else ""
    return KeyMissing(
        f"{gun} can't be renewed with the keys in {place}: {told}.",
        hint=f"Have their holders run: trustkit renew {gun}.{root} Looked in {place}.",
        roles=sorted(names),
        key_ids=sorted({key_id for role in lacking for key_id in role.key_ids}),
        place=place,
    )


def check_roles(gun: Gun, roles: Collection[str], found: Collection[RoleHealth]) -> None:
    """Raises UsageError for a role that the service renews, NotFound for one that isn't there."""
    for role in roles:
        if role in {there.name for there in found if there.online}:
            raise UsageError(f"The service renews {role} by itself; there is nothing to sign.")
        if role not in {there.name for there in found}:
            raise NotFound(f"{gun} has no role {role}.", hint=f"See: trustkit status {gun}")


def is_due(role: RoleHealth, wanted: Collection[str], *, whole: bool) -> bool:
    """Whether a role is to be renewed: one of those that are wanted, or, where none are, one that expires."""
    if wanted:
        return role.name in wanted
    return role.expires is not None and (whole or role.expired or role.soon)
