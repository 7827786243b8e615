"""How collections stand: told of what is served, whether or not it has expired, and never trusted."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from tuf.api.metadata import Targets

from trustkit.client.trust import Current, Trust
from trustkit.core.bins import peek_bins
from trustkit.core.clocks import words_of
from trustkit.core.formats.tuf1 import read
from trustkit.core.health import CERTIFICATE, Health, RoleHealth, health
from trustkit.core.names import BINS, Gun
from trustkit.core.patterns import GunPattern
from trustkit.core.ports.converting import DockerSide, DockerSides
from trustkit.core.ports.keys import KeyInfo, KeyRole, KeyStore
from trustkit.core.ports.proposing import ProposalService
from trustkit.core.ports.remote import PinStore, TrustService
from trustkit.core.proposals import Proposal
from trustkit.core.rules import TUF, Formats
from trustkit.errors import TrustkitError


class Grade(enum.Enum):
    """Fine; something to do before long; something that pulls depend on has expired."""

    FINE = "fine"
    SOON = "soon"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class KeyStanding:
    """A key of a collection: whose it is, which roles it signs, whether its private half is here and backed up.

    ``uri`` is set for one that is here by its place on a token or in a key service: such a key is in no backup.
    """

    id: str
    holder: str
    roles: tuple[str, ...]
    here: bool
    backup: datetime | None
    uri: str | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How one collection stands.

    Attributes:
        pending: online keys that the service wants the next root to name, by role.
        proposals: changes that wait for signatures, as the service tells of them.
        docker: what docker reads of it since it was converted from that format, as the service tells; None for one
            that wasn't, and where nothing is told.
        warnings: what somebody should do something about, a sentence each.
    """

    gun: Gun
    grade: Grade
    health: Health
    keys: tuple[KeyStanding, ...]
    pending: Mapping[str, str]
    proposals: tuple[Proposal, ...]
    docker: DockerSide | None
    warnings: tuple[str, ...]


class Status:
    """The use case of ``trustkit status``.

    Args:
        docker: the same keys by their ids in format ``docker``, with the times of their backups.
        backups: when each key was last backed up, by id.
        within: publishers' files that expire in less than this are warned of.
    """

    def __init__(
        self,
        trust: Trust,
        keys: KeyStore,
        service: TrustService,
        proposals: ProposalService,
        sides: DockerSides,
        *,
        docker: Callable[[], tuple[KeyStore, Mapping[str, datetime]]],
        backups: Callable[[], Mapping[str, datetime]],
        clock: Callable[[], datetime],
        within: timedelta,
    ) -> None:
        self._trust = trust
        self._keys = keys
        self._service = service
        self._proposals = proposals
        self._sides = sides
        self._docker = docker
        self._backups = backups
        self._clock = clock
        self._within = within

    def __call__(self, gun: Gun) -> Standing:
        """How a collection stands now, verified in everything but expiry, by the later of both sides' clocks.

        Raises:
            NoPin, NotTrusted and its leaves, Expired excepted; NotAllowed.
        """
        now = self._clock()
        current = self._trust.seen(gun, now)
        latest = self._trust.latest(gun, current.view.issued, now)
        store, saved = (self._keys, self._backups()) if current.pin.format == TUF else self._docker()
        found = standing_of(current, store, now=latest, within=self._within)
        keys = tuple(_of_keys(found, keys_here(current, store), saved))
        ours = current.pin.format == TUF and any(key.here for key in keys)
        pending, proposals, unheard = self._asked(gun) if ours else ({}, (), [])
        side, untold = self._side(gun) if current.pin.format == TUF else (None, [])
        warnings = [
            *_clock(self._trust.clock_words(gun, current.view.issued, now)),
            *(_due(gun, role, latest, current.pin.format) for role in found.due),
            *_backup(keys),
            *(f"{gun.host} has a new {role} key waiting; the next root names it." for role in pending),
            *(_open(gun, proposal) for proposal in proposals),
            *unheard,
            *untold,
        ]
        grade = Grade.EXPIRED if not found.trusted else Grade.SOON if found.due else Grade.FINE
        return Standing(gun, grade, found, keys, pending, proposals, side, tuple(warnings))

    def _asked(self, gun: Gun) -> tuple[Mapping[str, str], tuple[Proposal, ...], list[str]]:
        """What the service tells to publishers; that it can't be had spoils no status."""
        try:
            pending = {role: key.keyid for role, key in self._service.service_keys(gun).pending.items()}
            return pending, tuple(self._proposals.proposals(gun)), []
        except TrustkitError as error:
            return {}, (), [f"Keys that wait and proposals can't be told: {error.message}"]

    def _side(self, gun: Gun) -> tuple[DockerSide | None, list[str]]:
        try:
            return self._sides.docker_side(gun), []
        except TrustkitError as error:
            return None, [f"Whether docker reads something of it can't be told: {error.message}"]


def standing_of(current: Current, keys: KeyStore, *, now: datetime, within: timedelta) -> Health:
    """The health of a state, with the keys of this home."""
    here = keys_here(current, keys)
    rules = Formats()(current.pin.format)
    return health(
        current.view,
        now=now,
        within=within,
        here=here.keys(),
        attributed={
            role.name: min(rules.expires(name, current.files[name]) for name in _said(current, role.name))
            for role in current.view.roles
            if not role.grants and role.name in current.files
        },
        certified=rules.certified(current.files),
        own=[
            role.name
            for role in current.view.roles
            if any(key_id in here and here[key_id].role is KeyRole.SNAPSHOT for key_id in role.key_ids)
        ],
    )


def _said(current: Current, role: str) -> list[str]:
    """The files in which a signer says what it signed: its own, and those of its bins that are here."""
    if current.pin.format != TUF or not any(name.startswith(BINS) for name in current.files):
        return [role]
    bins = peek_bins(role, read(current.files[role], Targets, f"{role}.json").signed)
    return [role, *(name for name in (bins.names if bins else ()) if name in current.files)]


def keys_here(current: Current, keys: KeyStore) -> Mapping[str, KeyInfo]:
    """Those keys of a state that are in a store, by their ids in the state."""
    bare = Formats()(current.pin.format).bare_ids(current.files)
    ids = {key_id: bare.get(key_id, key_id) for role in current.view.roles for key_id in role.key_ids}
    found = {info.id: info for info in keys.find(frozenset(ids.values()))}
    return {key_id: found[own] for key_id, own in ids.items() if own in found}


def _of_keys(found: Health, here: Mapping[str, KeyInfo], saved: Mapping[str, datetime]) -> Iterator[KeyStanding]:
    roles: dict[str, list[RoleHealth]] = {}
    for role in found.roles:
        for key_id in role.key_ids:
            roles.setdefault(key_id, []).append(role)
    for key_id, signs in roles.items():
        info = here.get(key_id)
        names, holder = tuple(role.name for role in signs), signs[0].names[key_id]
        backup, uri = (saved.get(info.id), info.uri) if info else (None, None)
        yield KeyStanding(key_id, holder, names, info is not None, backup, uri)


def known_guns(keys: KeyStore, pins: PinStore) -> list[Gun]:
    """The repositories that this home has a repository key for, or a pin of their own; patterns name none."""
    guns = {info.gun for info in keys.list() if info.role is KeyRole.REPOSITORY and info.gun is not None}
    guns |= {Gun.parse(pin.pattern) for pin in pins.list() if GunPattern.parse(pin.pattern).exact}
    return sorted(guns)


def _clock(words: str) -> list[str]:
    return [words] if words else []


def _due(gun: Gun, role: RoleHealth, now: datetime, wire: str) -> str:
    assert role.expires is not None  # noqa: S101 - what is due has an expiry
    away = words_of(abs(role.expires - now))
    when = f"expired {away} ago" if role.expired else f"expires in {away}"
    if role.online:
        return f"{role.name} {when}: {gun.host} is late with renewing it; tell its operator."
    does = "breaks" if role.expired else "then breaks"
    mending = _mending(gun, role) if wire == "tuf" else _docker_mending(gun, role)
    return f"{role.name} {when}; that {does} {role.breaks}. {mending}"


def _mending(gun: Gun, role: RoleHealth) -> str:
    if role.renewable or role.here:
        return f"Renew it: trustkit renew {gun}"
    ceremony = f"; a root that is kept offline: trustkit root propose {gun}" if role.name == "root" else ""
    return f"Its key isn't here; it takes {role.renewer}{ceremony}."


def _docker_mending(gun: Gun, role: RoleHealth) -> str:
    if role.renewable or role.here:
        return f"Renew it: trustkit renew {gun}"
    if role.name == CERTIFICATE:
        return f"Who has the root key renews it: trustkit renew {gun}, or: notary key rotate {gun} root"
    return f"Its publisher signs it anew; it takes {role.renewer}."


def _backup(keys: tuple[KeyStanding, ...]) -> Iterator[str]:
    for key in keys:
        if key.here and key.backup is None and key.uri is None:
            holder = key.holder if key.holder in ("root key", "repository key") else f"key of {key.holder}"
            yield f"The {holder} {key.id[:16]} is in no backup: trustkit key backup --to FILE"


def _open(gun: Gun, proposal: Proposal) -> str:
    lacks = f"{proposal.missing} more signature{'s' if proposal.missing != 1 else ''}"
    return f"Proposal {proposal.id} for {proposal.role} waits for {lacks}: trustkit proposal show {gun} {proposal.id}"
