"""Bringing a collection in format ``docker`` from another trust server to the service, with its keys and its roots.

Everything goes in one upload, so there is no half of it.  Who is cut short runs it again: what is done is recognised
by what both ends have, verified, and nothing is published twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from tuf.api.metadata import Root

from trustkit.client.docker_signing import SNAPSHOT, DockerSigning
from trustkit.client.migrate_consents import Consents, require_consents
from trustkit.client.migrate_former import Former, FormerState
from trustkit.client.trust import Current, Trust
from trustkit.core.formats.docker.draft import DockerDraft
from trustkit.core.formats.docker.files import read, role_kind
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.migration import MigrationPlan, certifies_itself, counting_files, entries, plan_migration
from trustkit.core.names import Gun
from trustkit.core.ports.migrating import ArrivalService
from trustkit.core.ports.notary import NotaryService
from trustkit.core.ports.remote import Pin, PinStore
from trustkit.core.roots import ONLINE
from trustkit.core.rules import DOCKER
from trustkit.errors import Conflict, ConsentMissing, RolledBack

Agree = Callable[[MigrationPlan, FormerState], None]


@dataclass(frozen=True, slots=True)
class Migration:
    """What was done of one collection, or would be.

    Attributes:
        state: ``planned``, ``migrated``, or ``done`` where it had been before.
        former: what the server there has.
        current: the collection at the service, verified; None where it is only planned.
    """

    gun: Gun
    state: str
    plan: MigrationPlan
    former: FormerState
    current: Current | None = None


class Migrate:
    """The use case.

    Args:
        former: reads the server there, verified.
        service: where the collection goes.
        arrivals: reads what it has.
        trust: verifies that.
    """

    def __init__(
        self,
        former: Former,
        service: NotaryService,
        arrivals: ArrivalService,
        sign: DockerSigning,
        trust: Trust,
        pins: PinStore,
        *,
        lifetimes: Lifetimes,
        clock: Callable[[], datetime],
    ) -> None:
        self._former = former
        self._service = service
        self._arrivals = arrivals
        self._sign = sign
        self._trust = trust
        self._pins = pins
        self._lifetimes = lifetimes
        self._clock = clock

    def plan(self, gun: Gun, root_keys: Sequence[str] = ()) -> Migration:
        """What a migration would do; nothing is signed or published, and no passphrase asked for.

        Raises:
            NoPin, NotTrusted and its leaves, NotAllowed: of the server there, or of what is at the service.
            KeyMissing, WrongKeyRole: the keys here don't suffice.
            Conflict: as ``run``.
        """
        former = self._former.state(gun, root_keys)
        plan = self._planned(former)
        if (current := self._there(former, plan)) is not None:
            return Migration(gun, "done", plan, former, current)
        self._former.check_new(former)
        if not plan.problems:
            self._sign.require(self._draft(former, plan))
        return Migration(gun, "planned", plan, former)

    def run(self, gun: Gun, root_keys: Sequence[str] = (), *, consents: Consents, agree: Agree) -> Migration:
        """Brings it, unless it is there.

        Args:
            agree: is shown what would happen before a key is touched, and raises where it may not.

        Raises:
            ConsentMissing: something has to be mended first, or the service's operator hasn't allowed it.
            UsageError: something would be lost, and nobody has agreed to that.
            Conflict: the service has another collection of this name, or the server there has gone on since.
            CouldNotCheck: it isn't known whether it was published; the same command finds out.
        """
        former = self._former.state(gun, root_keys)
        plan = self._planned(former)
        if (current := self._there(former, plan)) is not None:
            return self._done(Migration(gun, "done", plan, former, current))
        self._former.check_new(former)
        require_consents(plan, consents)
        online = {role: self._service.key(gun, role) for role in ONLINE}
        draft = self._draft(former, plan)
        for role, key in online.items():
            draft.name_root_keys(role, [key])
        self._sign.require(draft)
        agree(plan, former)
        if plan.certificate:
            self._certify(draft)
        draft.settle()
        upload = counting_files(plan, former.files)
        del upload[SNAPSHOT], upload["timestamp"]
        upload |= self._sign(draft)
        try:
            self._service.publish(gun, {**_brought(former), **upload})
        except Conflict:
            if (current := self._there(former, plan)) is None:
                raise
            return self._done(Migration(gun, "done", plan, former, current))
        except ConsentMissing as error:
            error.hint = f"Its operator allows it once: trustkit admin allow-migration {gun}. Then run this again."
            raise
        return self._done(Migration(gun, "migrated", plan, former, self._read_back(former, plan, upload)))

    def _planned(self, former: FormerState) -> MigrationPlan:
        return plan_migration(
            former.gun,
            former.files,
            min(former.roots),
            tags=len(former.view.targets),
            now=self._clock(),
            lifetimes=self._lifetimes,
            holds=self._sign.holds,
        )

    def _draft(self, former: FormerState, plan: MigrationPlan) -> DockerDraft:
        """The next root, and what is signed anew beside it."""
        draft = DockerDraft(
            former.gun,
            counting_files(plan, former.files),
            now=self._clock(),
            lifetimes=self._lifetimes,
            holds=self._sign.holds,
        )
        draft.changed |= {"root", *(each.role for each in plan.signed)}
        return draft

    def _certify(self, draft: DockerDraft) -> None:
        """Gives the root key that is here a new certificate in the place of one that has ended."""
        keys = draft.keys("root")
        own = [key for key in keys if certifies_itself(key)]
        infos = {info.id: info for info in self._sign.here("root", own)}
        now = self._clock()
        made = [
            self._sign.certificate(draft.gun, infos[key.canonical_id], now) if key.canonical_id in infos else key
            for key in keys
        ]
        draft.name_root_keys("root", made)

    def _there(self, former: FormerState, plan: MigrationPlan) -> Current | None:
        """The collection at the service, where it has come there before.

        Raises:
            Conflict: it is another one, or the server there has gone on since.
        """
        gun, file = former.gun, self._arrivals.file
        if file(gun, "root.json") is None:
            return None
        version = plan.root
        if file(gun, f"{version}.root.json") != former.files["root"]:
            before = former.roots.get(version - 1)
            if before is not None and file(gun, f"{version - 1}.root.json") == before:
                raise _gone_on(former, "its root was signed anew there", ())
            raise Conflict(
                f"The service has a collection {gun} that is not the one at {former.server}: its roots are others.",
                hint=f"Look at both before anything else: trustkit inspect {gun}",
            )
        current = self._trust.under(self._pin(former), gun, self._clock())
        if current.view.versions["root"] <= version:
            raise Conflict(
                f"The service has {gun} with the very root of {former.server}: both names lead to one server.",
                hint="Say with TRUSTKIT_TRUST_SERVERS=HOST=URL where the service is.",
            )
        if behind := [role for role in sorted(_roles(plan)) if not self._has_come(former, role)]:
            raise _gone_on(former, f"{', '.join(behind)} was signed anew there", _differing(former, current))
        return current

    def _has_come(self, former: FormerState, role: str) -> bool:
        """Whether a file of the server there came here: as it was, or signed anew on the way."""
        data = former.files[role]
        version = int(read(data, role_kind(role)).signed.version)
        if self._arrivals.file(former.gun, f"{version}.{role}.json") == data:
            return True
        after = self._arrivals.file(former.gun, f"{version + 1}.{role}.json")
        return after is not None and entries(after) == entries(data)

    def _read_back(self, former: FormerState, plan: MigrationPlan, upload: Mapping[str, bytes]) -> Current:
        """What is served now, verified as a consumer would, compared name by name (TRUST 3.9)."""
        gun = former.gun
        current = self._trust.under(self._pin(former), gun, self._clock())
        other = [role for role, data in upload.items() if current.files.get(role) != data]
        other += [role for role in _roles(plan) if entries(current.files[role]) != entries(former.files[role])]
        other += [f"{version}.root" for version, data in former.roots.items() if not self._serves(gun, version, data)]
        if other or _differing(former, current):
            raise RolledBack(
                f"{gun} was published, and what is served differs from what was brought: "
                f"{', '.join([*other, *_differing(former, current)][:5])}.",
                hint="Run it again; if it stays so, ask the service's operator.",
            )
        return current

    def _serves(self, gun: Gun, version: int, root: bytes) -> bool:
        return self._arrivals.file(gun, f"{version}.root.json") == root

    def _pin(self, former: FormerState) -> Pin:
        """The home's, or the root keys that the collection had there."""
        role = read(former.files["root"], Root).signed.roles["root"]
        own = Pin(str(former.gun), key_ids=tuple(role.keyids), threshold=role.threshold, format=DOCKER)
        return self._pins.find(former.gun) or own

    def _done(self, migration: Migration) -> Migration:
        """This home's own pin, where it has none."""
        if self._pins.find(migration.gun) is None and migration.current is not None:
            view = migration.current.view
            threshold = next(role.threshold for role in view.roles if role.name == "root")
            self._pins.add(Pin(str(migration.gun), key_ids=view.root_keys, threshold=threshold, format=DOCKER))
        return migration


def _brought(former: FormerState) -> dict[str, bytes]:
    """The roots there, and how far that server's own files are."""
    brought = {f"{version}.root": data for version, data in former.roots.items()}
    for role in ONLINE:
        version = int(read(former.files[role], role_kind(role)).signed.version)
        brought[f"{version}.{role}"] = former.files[role]
    return brought


def _roles(plan: MigrationPlan) -> frozenset[str]:
    return frozenset((*plan.kept, *(each.role for each in plan.signed)))


def _differing(former: FormerState, current: Current) -> list[str]:
    """The tags that aren't the same at both ends: digest and length."""
    old = {tag: (target.digest, target.length) for tag, target in former.view.targets.items()}
    new = {tag: (target.digest, target.length) for tag, target in current.view.targets.items()}
    return sorted(str(tag) for tag in {*old, *new} if old.get(tag) != new.get(tag))


def _gone_on(former: FormerState, what: str, tags: Iterable[str]) -> Conflict:
    names = list(tags)
    shown = f" Tags that differ: {', '.join(names[:20])}{' and more' if len(names) > 20 else ''}." if names else ""
    return Conflict(
        f"{former.gun} came to the service before, and {former.server} has gone on since: {what}.{shown}",
        hint="What was signed there since counts for nobody here: sign those tags at the service. Make the old "
        "server read-only, and point everybody at the service.",
        tags=names,
    )
