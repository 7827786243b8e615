"""Converting a collection from format ``docker`` to ``tuf``, with the keys that sign it now (TRUST 5.4).

One upload does it, so there is no half of it.  Who is cut short runs it again: the service says how far it is, and
what is left to do is done, which is to read back what is served, and to pin it here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from tuf.api.metadata import Root

from trustkit.client.convert_signing import ConvertSigning
from trustkit.client.convert_types import media_types
from trustkit.client.lagging import patiently
from trustkit.client.trust import Current, Trust
from trustkit.core.convertbuild import build_conversion, freeze
from trustkit.core.convertplan import ConversionPlan, plan_conversion
from trustkit.core.formats.docker.bare import all_as_tuf
from trustkit.core.formats.docker.draft import DockerDraft
from trustkit.core.formats.docker.files import read as read_docker
from trustkit.core.formats.docker.keys import canonical_ids
from trustkit.core.growth import Growth
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.names import Gun
from trustkit.core.patterns import GunPattern
from trustkit.core.ports.converting import ConversionService
from trustkit.core.ports.remote import ImageRegistry, KeptMetadata, Pin, PinStore
from trustkit.core.rules import DOCKER
from trustkit.core.view import SignedView
from trustkit.errors import Conflict, ConsentMissing, CouldNotCheck, RolledBack, WrongFormat

TRIES = 5
DEFAULT_UNTIL = timedelta(days=90)

Agree = Callable[[ConversionPlan, datetime], None]


@dataclass(frozen=True, slots=True)
class ConversionReport:
    """What a conversion did, or would do.

    Attributes:
        state: ``planned``, ``converted``, or ``done`` where it had been before.
        plan: what was kept; None where it had been converted before.
        until: until when docker reads what was signed before.
        ended: when that ended earlier.
        current: the collection in format ``tuf``, verified; None where it is only planned.
        unknown: how many digests' media types couldn't be found out.
        unattributed: the signers of whom nothing says what they signed, as their keys aren't here.
    """

    gun: Gun
    state: str
    plan: ConversionPlan | None
    until: datetime | None
    ended: datetime | None = None
    current: Current | None = None
    unknown: int = 0
    unattributed: tuple[str, ...] = ()


class Convert:
    """The use case.

    Args:
        signing: signs both sides with the keys that are here.
        trust: takes collections of both formats.
        kept: what was verified here before.
    """

    def __init__(
        self,
        service: ConversionService,
        signing: ConvertSigning,
        trust: Trust,
        pins: PinStore,
        kept: KeptMetadata,
        registry: ImageRegistry,
        *,
        lifetimes: Lifetimes,
        growth: Growth,
        clock: Callable[[], datetime],
        sleep: Callable[[float], None],
        say: Callable[[str], None],
    ) -> None:
        self._service = service
        self._sign = signing
        self._trust = trust
        self._pins = pins
        self._kept = kept
        self._registry = registry
        self._lifetimes = lifetimes
        self._growth = growth
        self._clock = clock
        self._sleep = sleep
        self._say = say

    def plan(self, gun: Gun, until: datetime | None = None, *, keys: bool = True) -> ConversionReport:
        """What a conversion would do; nothing is signed, and no passphrase asked for.

        Args:
            keys: find out whether the keys here suffice.

        Raises:
            RoleMissing, LoginRequired: who may not publish; KeyMissing, WrongKeyRole: keys here don't suffice.
            NotTrusted and its leaves: the collection doesn't verify under the pin here.
        """
        side = self._service.conversion(gun).docker
        if side is not None:
            return ConversionReport(gun, "done", None, side.until, side.ended)
        base = self._base(gun)
        plan = self._planned(base)
        if keys and not plan.problems:
            self._sign.require(self._draft(gun, base), plan)
        return ConversionReport(gun, "planned", plan, self._until(until))

    def key_ids(self, gun: Gun) -> frozenset[str]:
        """The ids in format ``docker`` of the keys that sign a collection; none where it was converted before."""
        if self._service.conversion(gun).docker is not None:
            return frozenset()
        draft = self._draft(gun, self._base(gun))
        roles = ("root", "targets", "snapshot", *draft.delegated)
        return canonical_ids(key for role in roles for key in draft.keys(role))

    def run(self, gun: Gun, until: datetime | None, *, agree: Agree) -> ConversionReport:
        """Converts it, again on each new state that others publish meanwhile, or ends what was begun before.

        Args:
            until: the final expiry of what docker reads; 90 days from now where None, and over at once where it has
                passed.
            agree: is shown what would happen before a key is touched, and raises where it may not.

        Raises:
            ConsentMissing: something has to be mended first; nothing was done.
            KeyMissing, WrongKeyRole and other KeyProblems; Conflict: others kept changing the collection.
            CouldNotCheck: it isn't known whether it was converted; the same command finds out.
        """
        if self._service.conversion(gun).docker is not None:
            return self._ended(gun)
        agreed: ConversionPlan | None = None
        for _ in range(TRIES):
            base = self._base(gun)
            plan, ends = self._planned(base), self._until(until)
            if plan.problems:
                raise ConsentMissing(
                    f"{gun} can't be converted as it is: {plan.problems[0]}",
                    hint="Mend it, then look again with --dry-run.",
                    problems=list(plan.problems),
                )
            self._sign.require(self._draft(gun, base), plan)
            if plan != agreed:
                agree(plan, ends)
                agreed = plan
            try:
                return self._once(gun, base, plan, ends)
            except Conflict:
                if self._service.conversion(gun).docker is not None:
                    return self._ended(gun)
                self._say(f"{gun} was meanwhile changed by somebody else; the conversion is made anew on that.")
        raise Conflict(f"{gun} was changed by others {TRIES} times in a row.", hint="Try again.")

    def _base(self, gun: Gun) -> Current:
        base = self._trust.current(gun, self._clock())
        if base.pin.format != DOCKER:
            raise WrongFormat(f"{gun} is pinned in format {base.pin.format} here already.", format=base.pin.format)
        return base

    def _planned(self, base: Current) -> ConversionPlan:
        return plan_conversion(base.files, base.view, self._clock())

    def _until(self, wanted: datetime | None) -> datetime:
        return (wanted or self._clock() + DEFAULT_UNTIL).replace(microsecond=0)

    def _draft(self, gun: Gun, base: Current) -> DockerDraft:
        now = self._clock()
        return DockerDraft(gun, base.files, now=now, lifetimes=self._lifetimes, holds=self._sign.holds)

    def _once(self, gun: Gun, base: Current, plan: ConversionPlan, until: datetime) -> ConversionReport:
        typed = plan.typed(media_types(self._registry, gun, plan))
        keys = self._service.conversion(gun, prepare=True)
        now = self._clock()
        made = build_conversion(
            typed, keys.keys, now=now, lifetimes=self._lifetimes, last=keys.last, growth=self._growth
        )
        draft = self._draft(gun, base)
        freeze(draft, until)
        tuf, docker = self._sign.tuf(made), self._sign.docker(draft, until)
        try:
            versions = self._service.convert(gun, tuf, docker)
        except CouldNotCheck as error:
            error.hint = "Whether it was converted isn't known. Run it again: it finds out, and goes on."
            raise
        side = self._service.conversion(gun).docker
        ended = side.ended if side else None
        if ended is None and until > self._clock():
            patiently(lambda: self._check_frozen(gun, base, docker), sleep=self._sleep, clock=self._clock)
        current = self._pinned(gun, base.files["root"], versions)
        self._check_same(gun, base.view, current.view)
        unknown = sum(not tag.target.media_type for tag in typed.tags.values())
        signed = {name for tag in plan.tags.values() for name in tag.signers}
        silent = tuple(sorted(signed & {one.name for one in plan.signers if not one.paths} - set(tuf)))
        return ConversionReport(gun, "converted", plan, until, ended, current, unknown, silent)

    def _check_frozen(self, gun: Gun, base: Current, docker: Mapping[str, bytes]) -> None:
        """What is served in format ``docker`` now is what was uploaded, and says what it said (TRUST 3.9)."""
        served = {role: self._service.frozen(gun, role) for role in sorted({*base.files, *docker})}
        view = self._trust.rules(DOCKER).evaluate(served, gun, self._clock())
        behind = [role for role in sorted(docker) if served[role] != docker[role]]
        if behind or dict(view.targets) != dict(base.view.targets):
            raise RolledBack(
                f"{gun} was converted, but another state is served for docker than the last one that was signed.",
                roles=behind,
            )

    def _check_same(self, gun: Gun, before: SignedView, after: SignedView) -> None:
        old = {tag: target.digest for tag, target in before.targets.items()}
        new = {tag: target.digest for tag, target in after.targets.items()}
        if old != new:
            self._say(f"{gun} was converted, and somebody has changed its tags since: see trustkit inspect {gun}")

    def _pinned(self, gun: Gun, former_root: bytes, versions: Mapping[str, int]) -> Current:
        """The collection as a consumer verifies it, and this home's own pin: the keys that it had before."""
        former = read_docker(former_root, Root).signed
        keys = all_as_tuf(former.keys[key_id] for key_id in former.roles["root"].keyids)
        pin = Pin(str(gun), key_ids=tuple(keys), threshold=former.roles["root"].threshold)

        def once() -> Current:
            current = self._trust.under(pin, gun, self._clock())
            behind = [role for role, version in current.view.versions.items() if versions.get(role, 0) > version]
            if behind:
                raise RolledBack(f"{gun} was converted, but its {', '.join(behind)} is served in an older version.")
            return current

        current = patiently(once, sleep=self._sleep, clock=self._clock)
        there = self._pins.find(gun)
        self._pins.add(pin, replace=there is not None and GunPattern.parse(there.pattern).exact)
        return current

    def _ended(self, gun: Gun) -> ConversionReport:
        """What is left to do of a conversion that the service has."""
        side = self._service.conversion(gun).docker
        pinned = self._pins.find(gun)
        kept = self._kept.kept(gun, pinned) if pinned is not None and pinned.format == DOCKER else None
        current = self._trust.current(gun, self._clock()) if kept is None else self._pinned(gun, kept["root"], {})
        until, ended = (side.until, side.ended) if side else (None, None)
        return ConversionReport(gun, "done", None, until, ended, current)
