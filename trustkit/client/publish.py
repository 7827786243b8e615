"""Getting a change of targets published: on a verified base, again on conflict, and read back (TRUST 3.1, 3.9)."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from securesystemslib.signer import Signer
from tuf.api.metadata import Root, TargetFile, Targets

from trustkit.client.founding import Founding
from trustkit.client.trust import Current, Trust
from trustkit.core.build import next_targets
from trustkit.core.formats.tuf1 import read, sign
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.names import Digest, Gun, Tag
from trustkit.core.ports.images import ManifestBytes
from trustkit.core.ports.keys import KeyStore
from trustkit.core.ports.remote import Pin, PinStore, TrustService
from trustkit.core.targets import KEEP_SUPERSEDED, make_target
from trustkit.core.view import SignedView
from trustkit.errors import Conflict, KeyMissing, NoCollection, NoPin, RolledBack, TagMoved, Unsigned

TRIES = 100
LEAST_PAUSE = 0.02
LONGEST_TRY = 2.0
"""Seconds; a try that took longer counts as this long, so that no pause is over 16."""
DOUBLINGS = 3


@dataclass(frozen=True, slots=True)
class Change:
    """What one command wants of one collection: tags to sign with their manifests, and tags to withdraw."""

    put: Mapping[Tag, ManifestBytes] = field(default_factory=dict)
    drop: frozenset[Tag] = frozenset()


class Publisher:
    """Publishes changes to collections in format ``tuf``."""

    def __init__(
        self,
        service: TrustService,
        keys: KeyStore,
        pins: PinStore,
        trust: Trust,
        *,
        lifetimes: Lifetimes,
        clock: Callable[[], datetime],
        sleep: Callable[[float], None],
        say: Callable[[str], None],
    ) -> None:
        self._service = service
        self._keys = keys
        self._pins = pins
        self._trust = trust
        self._lifetimes = lifetimes
        self._clock = clock
        self._sleep = sleep
        self._say = say
        self._found = Founding(service, keys, lifetimes=lifetimes, say=say)

    def require(self, gun: Gun) -> None:
        """Raises RoleMissing, LoginRequired and the like before anything is made or asked for (TRUST 8.1)."""
        self._service.require_publish(gun)

    def current(self, gun: Gun) -> Current | None:
        """The verified state; None where the service says that there is no collection yet."""
        try:
            return self._trust.current(gun, self._clock())
        except NoCollection:
            return None
        except NoPin as error:
            if self._trust.exists(gun):
                raise error from None
            return None

    def publish(self, gun: Gun, change: Change, *, root_key: str | None = None, found: bool = True) -> SignedView:
        """Publishes the change and returns the view that a consumer gets afterwards.

        Args:
            root_key: the root key to found with.
            found: whether a collection that isn't there is made.

        Raises:
            Unsigned: a tag to withdraw isn't signed.
            NoCollection: there is none and ``found`` is False.
            Conflict: others kept changing the collection for a hundred tries.
            everything that ``Trust.current``, the key store and the service raise.
        """
        began = self._clock()
        base = self.current(gun)
        if base is None:
            if not found:
                raise NoCollection(f"Nothing is signed under {gun}.")
            return self._publish_first(gun, change, root_key)
        for attempt in range(TRIES):
            upload = {"targets": self._next(gun, base, change)}
            try:
                versions = self._service.publish(gun, upload)
            except Conflict:
                self._pause(attempt, self._clock() - began)
                began = self._clock()
                before, base = base, self._trust.under(base.pin, gun, self._clock())
                self._tell_difference(gun, before.view, base.view)
                continue
            return self._read_back(gun, base.pin, change, versions)
        raise Conflict(f"{gun} was changed by others {TRIES} times in a row.", hint="Try again.")

    def _pause(self, attempt: int, took: timedelta) -> None:
        """Waits a random time that grows with the tries and with how long one takes here.

        Who loses has wasted a whole try, so that many publishers at once get through sooner when few of them try.
        """
        usual = min(max(took.total_seconds(), LEAST_PAUSE), LONGEST_TRY)
        self._sleep(random.uniform(0, usual * 2 ** min(attempt, DOUBLINGS)))  # noqa: S311 - spreads tries only

    def _publish_first(self, gun: Gun, change: Change, root_key: str | None) -> SignedView:
        if change.drop:
            raise Unsigned(f"Nothing is signed under {gun}.")
        now = self._clock()
        founded = self._found(gun, _entries(change, None, now), pin=self._pins.find(gun), root_key=root_key, now=now)
        versions = self._service.publish(gun, founded.upload)
        if self._pins.find(gun) is None:
            self._pins.add(founded.pin)
        return self._read_back(gun, founded.pin, change, versions)

    def _next(self, gun: Gun, base: Current, change: Change) -> bytes:
        missing = sorted(tag.name for tag in change.drop if tag not in base.view.targets)
        if missing:
            raise Unsigned(f"{gun} does not sign {', '.join(missing)}.", gun=str(gun))
        root = read(base.files["root"], Root).signed
        current = read(base.files["targets"], Targets).signed
        now = self._clock()
        following = next_targets(
            current,
            put=_entries(change, base.view, now),
            drop=change.drop,
            now=now,
            life=self._lifetimes.default["targets"],
        )
        return sign(following, self._signers(gun, root))

    def _signers(self, gun: Gun, root: Root) -> dict[str, Signer]:
        role = root.roles["targets"]
        here = list(self._keys.find(frozenset(role.keyids)))
        if len(here) < role.threshold:
            names = ", ".join(key_id[:16] for key_id in role.keyids)
            raise KeyMissing(
                f"Signing tags of {gun} takes {role.threshold} of the repository keys {names}; {len(here)} of them "
                "are here.",
                hint="Import one with: trustkit key import FILE --role repository --gun " + str(gun),
                key_ids=list(role.keyids),
            )
        return {info.id: self._keys.unlock(info) for info in here[: role.threshold]}

    def _read_back(self, gun: Gun, pin: Pin, change: Change, versions: Mapping[str, int]) -> SignedView:
        """Fetches what is served and verifies it as a consumer with this pin would."""
        view = self._trust.under(pin, gun, self._clock()).view
        behind = {role for role, version in versions.items() if view.versions.get(role, 0) < version}
        if behind:
            raise RolledBack(
                f"{gun} was published, but its {', '.join(sorted(behind))} is served in an older version."
            )
        if view.versions["targets"] == versions["targets"]:
            for tag, manifest in change.put.items():
                target = view.targets.get(tag)
                if target is None or target.digest != manifest.digest:
                    raise TagMoved(f"{gun}:{tag} was published for {manifest.digest}, but isn't served like that.")
        return view

    def _tell_difference(self, gun: Gun, before: SignedView, after: SignedView) -> None:
        for tag in sorted({*before.targets, *after.targets}):
            old, new = _digest(before, tag), _digest(after, tag)
            if old != new:
                self._say(
                    f"{gun}:{tag} was meanwhile changed by somebody else: {old or 'unsigned'} -> {new or 'revoked'}"
                )


def _digest(view: SignedView, tag: Tag) -> Digest | None:
    target = view.targets.get(tag)
    return target.digest if target else None


def _entries(change: Change, base: SignedView | None, now: datetime) -> list[TargetFile]:
    return [
        make_target(tag, manifest, base.targets.get(tag) if base else None, now=now, keep=KEEP_SUPERSEDED)
        for tag, manifest in change.put.items()
    ]
