"""Renewing collections in format ``docker``: files as in the other one, and the certificates of root keys.

A root certificate ends ten years after it was made, whatever the root's own expiry says, and stock clients take
nothing of the collection from then on.  So it is replaced by one of the same key, before or after: one key signs for
both, and no consumer has to trust anybody else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime, timedelta

from trustkit.client.docker_publish import DockerPublisher
from trustkit.client.docker_signing import SNAPSHOT
from trustkit.client.renew import Plan, Renewed, check_roles, is_due, missing
from trustkit.client.status import keys_here, standing_of
from trustkit.client.trust import Current, Trust
from trustkit.core.formats.docker.draft import DockerDraft
from trustkit.core.formats.docker.keys import DockerKey
from trustkit.core.formats.docker.roles import TARGETS
from trustkit.core.health import CERTIFICATE, RoleHealth
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.names import Gun
from trustkit.core.ports.keys import KeyInfo, KeyStore
from trustkit.core.ports.remote import Pin
from trustkit.errors import BadExpiry

WARNED = timedelta(days=90)
"""When a root certificate is replaced that wasn't asked for by its name: consumers pin it by its id."""


class DockerRenew:
    """As ``Renew``; nothing is proposed.

    Args:
        keys: have them by their ids in format ``docker``.
        trust: takes collections in this format, with a ``looking`` source.
        say: says one line to stderr.
    """

    def __init__(
        self,
        publisher: DockerPublisher,
        trust: Trust,
        keys: KeyStore,
        *,
        lifetimes: Lifetimes,
        clock: Callable[[], datetime],
        say: Callable[[str], None],
    ) -> None:
        self._publisher = publisher
        self._trust = trust
        self._keys = keys
        self._life = lifetimes.default
        self._clock = clock
        self._say = say

    def plan(self, gun: Gun, *, roles: Collection[str] = (), within: timedelta | None) -> Plan:
        """As ``Renew.plan``; a snapshot that the publisher signs may have expired, too."""
        now = self._clock()
        base = self._base(self._trust.pin(gun), gun, now)
        latest = self._trust.latest(gun, base.view.issued, now)
        found = standing_of(base, self._keys, now=latest, within=WARNED if within is None else within).roles
        check_roles(gun, roles, found)
        whole = within is None
        due = [
            role
            for role in found
            if not role.online and is_due(role, roles, whole=whole and role.name != CERTIFICATE)
        ]
        here = [role for role in due if self._can(base, role)]
        if words := self._trust.clock_words(gun, base.view.issued, now):
            self._check_later(gun, here, now, words)
        return Plan(gun, base, renew=tuple(here), propose=(), lacking=tuple(role for role in due if role not in here))

    def __call__(self, plan: Plan) -> Renewed:
        """As ``Renew.__call__``; one publish for all that a plan says."""
        if plan.lacking and not plan.renew and any(role.blocks for role in plan.lacking):
            raise missing(plan.gun, plan.lacking, self._keys.place)
        current = self._published(plan) if plan.renew else plan.base
        now = self._clock()
        after = standing_of(current, self._keys, now=now, within=timedelta(0))
        if after.trusted:
            self._trust.under(current.pin, plan.gun, now)
        done = {role.name for role in plan.renew}
        renewed = tuple(role for role in after.roles if role.name in done)
        return Renewed(plan.gun, renewed, (), after.trusted, plan.lacking)

    def _published(self, plan: Plan) -> Current:
        gun, names = plan.gun, {role.name for role in plan.renew}
        former = plan.base.view.root_keys
        certificates: dict[str, DockerKey] = {}
        if CERTIFICATE in names:
            for info in self._roots(plan.base):
                certificates[info.id] = self._publisher.sign.certificate(gun, info, self._clock())

        def edit(draft: DockerDraft) -> None:
            draft.changed |= names & ({"root"} | draft.files.keys())
            if SNAPSHOT in names:  # which is made anew with any other file
                draft.changed.add(TARGETS)
            if certificates:
                draft.name_root_keys("root", [certificates.get(k.canonical_id, k) for k in draft.keys("root")])

        self._publisher.change(gun, edit, base=plan.base, read=self._base)
        current = self._base(plan.base.pin, gun, self._clock())
        comes = [key for key in current.view.root_keys if key not in former]
        if comes:
            gone = [key for key in former if key not in current.view.root_keys]
            if self._trust.follow(gun, current, gone, comes):
                self._say(f"This home's pin of {gun} names the new root certificate now.")
            self._say(
                "The root key is the same, its certificate is new: consumers who trust now follow by themselves."
            )
            for key_id in comes:
                self._say(f"Who pins by the certificate: trustkit pin add {gun} --format docker --root-key {key_id}")
            return replace(current, pin=self._trust.pin(gun))
        return current

    def _base(self, pin: Pin, gun: Gun, now: datetime) -> Current:
        """The state that a renewal goes on from; the service's own files must not have expired (TRUST 3.1).

        Raises:
            KeyMissing: the snapshot has, and its key is a publisher's and not here; and as ``Trust.renewable``.
        """
        current = self._trust.seen_under(pin, gun, now)
        found = standing_of(current, self._keys, now=now, within=timedelta(0)).roles
        online = {role.name for role in found if role.online}
        if any(role.expired and role.name == SNAPSHOT for role in found if role.online):
            self._publisher.signs_snapshot(self._publisher.draft(gun, current))  # or it is another publisher's
        return self._trust.renewable(pin, gun, now, fresh=online)

    def _can(self, base: Current, role: RoleHealth) -> bool:
        if role.name != CERTIFICATE:
            return role.renewable
        return role.renewable and all(self._publisher.sign.certifies(info) for info in self._roots(base))

    def _roots(self, base: Current) -> list[KeyInfo]:
        """The root keys that are here."""
        here = keys_here(base, self._keys)
        return list({here[key].id: here[key] for key in base.view.root_keys if key in here}.values())

    def _check_later(self, gun: Gun, roles: Collection[RoleHealth], now: datetime, words: str) -> None:
        for role in roles:
            ends = now + self._life["root" if role.name == "root" else TARGETS]
            if role.name != CERTIFICATE and role.expires is not None and ends <= role.expires:
                raise BadExpiry(
                    f"{gun}: {role.name} expires at {role.expires:%Y-%m-%d %H:%M} UTC, and renewed by this machine's "
                    f"clock it would at {ends:%Y-%m-%d %H:%M} UTC, no later.",
                    hint=f"{words} Set it right, then try again.",
                    role=role.name,
                )
