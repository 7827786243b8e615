"""Getting a change of targets published: on a verified base, again on conflict, and read back (TRUST 3.1, 3.9)."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from trustkit.client.change import Change
from trustkit.client.founding import Founding
from trustkit.client.growing import grow
from trustkit.client.holding import lacking
from trustkit.client.lagging import patiently
from trustkit.client.outcome import Leave, Outcome, holders, meanwhile, waiting
from trustkit.client.signing import Signing
from trustkit.client.trust import Current, Trust
from trustkit.core.bins import Near
from trustkit.core.difference import Difference, difference
from trustkit.core.draft import Draft
from trustkit.core.growth import Growth
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.names import Gun
from trustkit.core.ports.keys import KeyStore
from trustkit.core.ports.proposing import ProposalService, Step
from trustkit.core.ports.remote import Pin, PinStore, TrustService
from trustkit.core.rotation_online import adopt
from trustkit.core.view import SignedView
from trustkit.errors import Conflict, NoCollection, NoPin, RolledBack, Unsigned, UsageError

Read = Callable[[Pin, Gun, datetime], Current]

TRIES = 100
LEAST_PAUSE = 0.02
LONGEST_TRY = 2.0
"""Seconds; a try that took longer counts as this long, so that no pause is over 16."""
DOUBLINGS = 3


class Publisher:
    """Publishes changes to collections in format ``tuf``."""

    def __init__(
        self,
        service: TrustService,
        keys: KeyStore,
        pins: PinStore,
        trust: Trust,
        *,
        proposals: ProposalService,
        lifetimes: Lifetimes,
        clock: Callable[[], datetime],
        sleep: Callable[[float], None],
        say: Callable[[str], None],
        growth: Growth | None = None,
    ) -> None:
        self._service = service
        self._keys = keys
        self._proposals = proposals
        self._pins = pins
        self._trust = trust
        self._lifetimes = lifetimes
        self._clock = clock
        self._sleep = sleep
        self._say = say
        self._found = Founding(service, keys, lifetimes=lifetimes, say=say)
        self.growth = growth or Growth()
        """When collections are put into hash bins."""
        self._sign = Signing(keys, self.growth)

    def require(self, gun: Gun) -> None:
        """Raises RoleMissing, LoginRequired and the like before anything is made or asked for (TRUST 8.1)."""
        self._trust.require_format(gun)
        self._service.require_publish(gun)

    def current(self, gun: Gun, tags: Near | None = None) -> Current | None:
        """The verified state; None where the service says that there is no collection yet.

        Args:
            tags: of hash bins, those that these lie in are enough.
        """
        try:
            return self._trust.current(gun, self._clock(), tags=tags)
        except NoCollection:
            return None
        except NoPin as error:
            if self._trust.exists(gun):
                raise error from None
            return None

    def follow(self, gun: Gun, current: Current, gone: Collection[str], comes: Sequence[str]) -> bool:
        """As ``Trust.follow``: this home's own pin, after the root keys of a collection changed."""
        return self._trust.follow(gun, current, gone, comes)

    def publish(
        self,
        gun: Gun,
        change: Change,
        *,
        root_key: str | None = None,
        found: bool = True,
        leave: Leave = Leave.IF_NEEDED,
    ) -> Outcome:
        """Publishes the change, or leaves a proposal for others to sign.

        Args:
            root_key: the root key to found with.
            found: whether a collection that isn't there is made.
            leave: as for ``change``.

        Raises:
            Unsigned: a tag to withdraw isn't signed.
            NoCollection: there is none and ``found`` is False.
            everything that ``change`` raises.
        """
        base = self.current(gun, change.near)
        if base is not None:

            def edit(draft: Draft) -> None:
                change.edit(draft)
                if leave is not Leave.ALWAYS:
                    grow(draft, self._keys, self.growth, self._say)

            read = partial(self._trust.under, tags=change.near)
            return self.change(gun, edit, check=change.check, base=base, leave=leave, read=read)
        if not found or leave is Leave.ALWAYS:
            raise NoCollection(f"Nothing is signed under {gun}.")
        if 0 < self.growth.above < len(change.put):  # more than one file is for: first the collection, then the tags
            self._publish_first(gun, Change(), root_key)
            return self.publish(gun, change, root_key=root_key, leave=leave)
        return Outcome(self._publish_first(gun, change, root_key))

    def apply(
        self,
        gun: Gun,
        edit: Callable[[Draft], None],
        *,
        check: Callable[[Gun, SignedView], None] = lambda _gun, _view: None,
        agree: Callable[[Difference], None] = lambda _difference: None,
        base: Current | None = None,
    ) -> Current:
        """As ``change`` where nothing is left as a proposal: KeyMissing where the keys here don't suffice."""
        return self.change(gun, edit, check=check, agree=agree, base=base, leave=Leave.NEVER).current

    def change(
        self,
        gun: Gun,
        edit: Callable[[Draft], None],
        *,
        check: Callable[[Gun, SignedView], None] = lambda _gun, _view: None,
        agree: Callable[[Difference], None] = lambda _difference: None,
        base: Current | None = None,
        leave: Leave = Leave.IF_NEEDED,
        read: Read | None = None,
    ) -> Outcome:
        """Publishes what ``edit`` makes of the current state, again on each new state that others publish meanwhile.

        Args:
            edit: changes a draft, and nothing else; it is called once for each try (TRUST 3.1).
            check: raises where the view that is served afterwards doesn't show the change; not called where somebody
                else has published on top of it.
            agree: is shown what a try would change before a key is touched, and raises where it may not; called
                again only where another state makes it something else.
            base: the verified current state, where the caller has it.
            leave: when a proposal is left, about which is said who else has to sign.
            read: what reads the state that others made meanwhile, and the one served afterwards; a renewal takes
                ``Trust.renewable``, everything else the trusted state.

        Raises:
            KeyMissing, WrongKeyRole: keys here don't suffice, and no proposal may be left, or none of a role is here.
            ProposalOpen: a proposal has one of the roles that this changes.
            UsageError: a proposal shall be left, and the change takes one signature only.
            Conflict: others kept changing the collection for a hundred tries.
            everything that ``Trust.current``, the key store and the service raise.
        """
        base = base or self._trust.current(gun, self._clock())
        floors: Mapping[str, int] = {}
        agreed: Difference | None = None
        for attempt in range(TRIES):
            began = self._clock()
            draft = Draft(
                gun, base.files, now=began, lifetimes=self._lifetimes, floors=floors, reader=self._trust.reader
            )
            edit(draft)
            if "root" in draft.changed and "root" not in draft.ready:
                adopt(draft, self._service.service_keys(gun).pending)
            draft.settle()
            if not draft.changed:
                return Outcome(base)
            if (shown := difference(draft.before, draft.after)) != agreed:
                agree(shown)
                agreed = shown
            try:
                step = self._send(draft, leave)
            except Conflict as conflict:
                self._pause(attempt, self._clock() - began)
                before, base = base, (read or self._trust.under)(base.pin, gun, self._clock())
                floors = floors_of(conflict)
                for line in meanwhile(gun, before.view, base.view):
                    self._say(line)
                continue
            if step.proposal is not None:
                for line in waiting(gun, step.proposal, holders(draft.delegations, draft.root)):
                    self._say(line)
                return Outcome(base, step.proposal)
            return Outcome(self.read_back(gun, base.pin, step.versions, check, read=read))
        raise Conflict(f"{gun} was changed by others {TRIES} times in a row.", hint="Try again.")

    def preview(self, gun: Gun, edit: Callable[[Draft], None]) -> Difference:
        """What ``apply`` would change now; nothing is signed or published, and no passphrase asked for."""
        now = self._clock()
        draft = Draft(gun, self._trust.current(gun, now).files, now=now, lifetimes=self._lifetimes)
        edit(draft)
        draft.settle()
        return difference(draft.before, draft.after)

    def _send(self, draft: Draft, leave: Leave) -> Step:
        """Publishes a draft, signed by the keys here, or proposes it."""
        signed = self._sign(draft, spare=leave is Leave.ALWAYS)
        if leave is Leave.ALWAYS and not signed.missing:
            raise UsageError(
                f"What this changes in {draft.gun} takes one signature; nobody else has to approve it.",
                hint="Publish it with trustkit sign, or raise the threshold with trustkit threshold set.",
            )
        if signed.missing and leave is not Leave.NEVER:
            return self._proposals.propose(draft.gun, signed.files)
        for lack in signed.missing:
            raise lacking(
                self._keys,
                lack.need.role,
                lack.need.keys,
                f"{lack.need.role} of {draft.gun} takes {lack.need.threshold} signatures of its keys, as "
                f"{lack.need.delegator} says",
            )
        return Step(None, self._service.publish(draft.gun, signed.files))

    def _pause(self, attempt: int, took: timedelta) -> None:
        """Waits a random time that grows with the tries and with how long one takes here.

        Who loses has wasted a whole try, so that many publishers at once get through sooner when few of them try.
        """
        usual = min(max(took.total_seconds(), LEAST_PAUSE), LONGEST_TRY)
        self._sleep(random.uniform(0, usual * 2 ** min(attempt, DOUBLINGS)))  # noqa: S311 - spreads tries only

    def _publish_first(self, gun: Gun, change: Change, root_key: str | None) -> Current:
        if change.drop:
            raise Unsigned(f"Nothing is signed under {gun}.")
        now = self._clock()
        pin = self._pins.find(gun)
        founded = self._found(gun, change.entries(None, now), pin=pin, root_key=root_key, now=now)
        versions = self._service.publish(gun, founded.upload)
        if pin is None:
            self._pins.add(founded.pin)
        return self.read_back(gun, founded.pin, versions, change.check)

    def read_back(
        self,
        gun: Gun,
        pin: Pin,
        versions: Mapping[str, int],
        check: Callable[[Gun, SignedView], None],
        *,
        read: Read | None = None,
    ) -> Current:
        """Fetches what is served and verifies it as a consumer with this pin would (TRUST 3.9); ``read`` as above."""

        def once() -> Current:
            current = (read or self._trust.under)(pin, gun, self._clock())
            behind = {role for role, version in versions.items() if _known(current).get(role, version) < version}
            if behind:
                raise RolledBack(
                    f"{gun} was published, but its {', '.join(sorted(behind))} is served in an older version."
                )
            return current

        current = patiently(once, sleep=self._sleep, clock=self._clock)
        view, known = current.view, _known(current)
        if all(known[role] == version for role, version in versions.items() if role in known and role != "timestamp"):
            check(gun, view)
        return current


def floors_of(conflict: Conflict) -> Mapping[str, int]:
    """The versions that the service says are used up; what it says is believed within bounds only (``Draft``)."""
    told = conflict.context.get("versions")
    if not isinstance(told, dict):
        return {}
    return {str(role): version for role, version in told.items() if type(version) is int}


def _known(current: Current) -> dict[str, int]:
    return {**current.view.versions, **{role.name: role.version for role in current.view.roles}}
