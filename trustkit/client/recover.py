"""Putting back what a service lost, whose database came from a backup, out of what was verified here (TRUST 3.7).

The service is behind what consumers have seen, and they refuse it.  After the operator's recovery each role may jump
ahead once; this signs the files that this home verified last, at the version that the jump reaches, which lies above
whatever was served.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from tuf.api.metadata import Root, Snapshot, Targets

from trustkit.client.holding import lacking
from trustkit.client.signing import Signing
from trustkit.client.trust import Trust
from trustkit.core.bins import check_named
from trustkit.core.delegations import TARGETS
from trustkit.core.difference import Difference, difference
from trustkit.core.draft import Draft
from trustkit.core.draftfiles import carries
from trustkit.core.formats.tuf1 import MAX_BYTES, meta_version, read
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.names import Gun
from trustkit.core.ports.keys import KeyStore
from trustkit.core.ports.remote import KeptMetadata, TrustService
from trustkit.core.roots import check_gun, check_threshold
from trustkit.core.view import SignedView
from trustkit.errors import BadVersion, Conflict, NoCollection, NotFound, Rejected, StateError

FARTHEST = 2_000_000
"""How far above what is known here a service's ceiling may lie; an operator's jump goes a million at most."""


@dataclass(frozen=True, slots=True)
class PutBack:
    """What came of it.

    Attributes:
        versions: by role the version that was published.
        left: the roles that may jump still, and whose keys aren't here.
        view: what is served now, verified.
    """

    versions: Mapping[str, int]
    left: tuple[str, ...]
    view: SignedView


class PutBackLost:
    """The use case of ``trustkit recover``."""

    def __init__(
        self,
        service: TrustService,
        kept: KeptMetadata,
        keys: KeyStore,
        trust: Trust,
        *,
        lifetimes: Lifetimes,
        clock: Callable[[], datetime],
    ) -> None:
        self._service = service
        self._kept = kept
        self._keys = keys
        self._trust = trust
        self._lifetimes = lifetimes
        self._clock = clock
        self._sign = Signing(keys)

    def __call__(self, gun: Gun, *, agree: Callable[[Difference], None]) -> PutBack:
        """Signs what was verified here last once more, ahead of whatever was served, and publishes it.

        Raises:
            NoCollection: nothing of it was verified here under its pin.
            Conflict: the operator allowed no jump, or all were made.
            BadVersion: the service is more than two million versions off.
            KeyMissing: no key of a role that may jump is here.
            everything that the service and the verification afterwards raise.
        """
        pin, now = self._trust.pin(gun), self._clock()
        kept = self._kept.kept(gun, pin)
        if kept is None:
            raise NoCollection(
                f"Nothing of {gun} was verified here, so there is nothing to put back.",
                hint="Run it where the newest tags were signed, or sign the tags anew.",
            )
        keys = self._service.service_keys(gun)
        if not keys.ceilings:
            raise Conflict(
                f"No jump is allowed for {gun}.",
                hint="An operator allows it after a restore: trustkit admin recover.",
            )
        files = {**kept, **self._other_bins(gun, kept, now)}
        draft, left = self._draft(gun, files, keys.ceilings, now)
        agree(difference(draft.before, draft.after))
        signed = self._sign(draft)
        if signed.missing:
            lack = signed.missing[0]
            raise lacking(
                self._keys,
                lack.need.role,
                lack.need.keys,
                f"{lack.need.role} of {gun} takes {lack.need.threshold} signatures of its keys",
            )
        upload = dict(signed.files)
        self._publish(gun, files, upload)
        view = self._trust.under(pin, gun, self._clock()).view
        return PutBack({role: file.version for role, file in draft.changed.items()}, left, view)

    def _draft(
        self, gun: Gun, files: Mapping[str, bytes], ceilings: Mapping[str, int], now: datetime
    ) -> tuple[Draft, tuple[str, ...]]:
        draft = Draft(gun, files, now=now, lifetimes=self._lifetimes)
        meta = read(files["snapshot"], Snapshot).signed.meta
        delegated = {role.name for role in draft.delegations.roles} if draft.delegations else set()
        delegated |= _bins_of(draft)
        since = {name: ceilings.get(role, 0) for name, role in _said_of(draft).items() if meta_version(meta, name)}
        left: dict[str, tuple[str, ...]] = {}
        for role, ceiling in sorted({**since, **ceilings}.items()):
            if (role != "targets" and role not in delegated) or not ceiling:
                continue
            known = meta_version(meta, role) or 0
            if not known < ceiling <= known + FARTHEST:
                raise BadVersion(
                    f"{role} of {gun} was at version {known}, and may jump to {ceiling}.",
                    hint="An operator has to let it jump farther: trustkit admin recover --jump N.",
                )
            need = (draft.needs(role) if role == "targets" or draft.targets(role) else [])[:1]
            if not need or not self._keys.find(frozenset(need[0].keys)):
                left[role] = tuple(need[0].keys) if need else ()
                continue
            draft.edit(role).version = ceiling
        if not draft.changed:
            raise lacking(
                self._keys,
                next(iter(left), TARGETS),
                [key_id for key_ids in left.values() for key_id in key_ids],
                f"Putting back {gun} takes keys of {', '.join(left) or TARGETS}",
                hint="Run it where those keys are.",
            )
        return draft, tuple(left)

    def _other_bins(self, gun: Gun, files: Mapping[str, bytes], now: datetime) -> Mapping[str, bytes]:
        """The hash bins that aren't here as they were last, from the service: those that it has in that very version.

        Who signs has seen the bins of those tags alone.  A version is used once, so what the service has under it is
        what it was, and is verified as it was.

        Raises:
            StateError: the service lost some of them.
            Rejected: what it has isn't signed as it was.
        """
        draft = Draft(gun, files, now=now, lifetimes=self._lifetimes)
        meta = read(files["snapshot"], Snapshot).signed.meta
        bins, found, lost = draft.places.bins, dict[str, bytes](), 0
        holder = draft.targets(bins.holder) if bins else None
        for name in bins.names if bins else ():
            file, version = draft.targets(name), meta_version(meta, name) or 0
            if holder is None or (file is not None and file.version == version):
                continue
            try:
                data = self._service.fetch(gun, f"{version}.{name}.json", MAX_BYTES[TARGETS])
            except NotFound:
                lost += 1
                continue
            served = read(data, Targets, f"{name}.json")
            check_gun(served.signed, gun)
            check_named(name, served.signed)
            check_threshold(holder, name, served, data)
            if served.signed.version != version:
                raise BadVersion(f"The service's {name} of {gun} is of version {served.signed.version}.")
            found[name] = data
        for name, role in _said_of(draft).items():
            if draft.targets(name) is None and (known := meta_version(meta, name)):
                found |= self._said_as_it_was(gun, name, known, draft.targets(role))
        if lost:
            raise StateError(
                f"{lost} of the hash bins of {gun} are not here as they were last, and the service has lost them.",
                hint="Run it where these tags were signed, or where the newest state was read whole, as by inspect.",
            )
        return found

    def _said_as_it_was(self, gun: Gun, name: str, version: int, head: Targets | None) -> Mapping[str, bytes]:
        """A bin in which a signer says what it signed, if the service has it as it was: it grants no trust."""
        try:
            data = self._service.fetch(gun, f"{version}.{name}.json", MAX_BYTES[TARGETS])
            served = read(data, Targets, f"{name}.json")
            check_gun(served.signed, gun)
            check_named(name, served.signed)
        except (NotFound, Rejected):
            return {}
        there = served.signed.version == version and head is not None and carries(head, name, served, data)
        return {name: data} if there else {}

    def _publish(self, gun: Gun, files: Mapping[str, bytes], upload: Mapping[str, bytes]) -> None:
        """Publishes; where the service lost the newest root, too, that one goes with it."""
        try:
            self._service.publish(gun, {"root": files["root"], **upload})
        except Conflict as conflict:
            told = conflict.context.get("versions")
            stored = told.get("root") if isinstance(told, dict) else None
            if stored is None or stored < read(files["root"], Root).signed.version:
                raise
            self._service.publish(gun, upload)


def _bins_of(draft: Draft) -> frozenset[str]:
    bins = draft.places.bins
    return frozenset((*(bins.names if bins else ()), *_said_of(draft)))


def _said_of(draft: Draft) -> Mapping[str, str]:
    """The bins that signers may have, each with its role."""
    return {name: role for role, bins in draft.said.items() for name in bins.names}
