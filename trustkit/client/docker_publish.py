"""Changes of collections in format ``docker``: on a verified base, again on conflict, and read back (TRUST 3.1, 3.9).

What is published here goes on in stock ``docker`` and ``notary``, and what those publish goes on here.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from datetime import datetime

from tuf.api.metadata import TargetFile

from trustkit.client.change import Change
from trustkit.client.docker_signing import SNAPSHOT, DockerSigning
from trustkit.client.holding import lacking, usable
from trustkit.client.lagging import patiently
from trustkit.client.outcome import Leave, Outcome
from trustkit.client.publish import DOUBLINGS, LEAST_PAUSE, TRIES, Read
from trustkit.client.trust import Current, Trust
from trustkit.core.difference import Difference
from trustkit.core.formats.docker.build import new_root, new_targets
from trustkit.core.formats.docker.draft import DockerDraft
from trustkit.core.formats.docker.files import read, role_kind, sign
from trustkit.core.formats.docker.roles import RELEASES, TARGETS
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.names import Gun
from trustkit.core.ports.keys import KeyInfo, KeyRole, KeyStore
from trustkit.core.ports.notary import NotaryService
from trustkit.core.ports.remote import Pin, PinStore
from trustkit.core.view import SignedView
from trustkit.errors import Conflict, KeyMissing, NoCollection, NoPin, RolledBack, Unsigned, UsageError, WrongFormat

Edit = Callable[[DockerDraft], None]
Check = Callable[[Gun, SignedView], None]
Agree = Callable[[Difference], None]


def unspeakable(gun: Gun, what: str, hint: str = "") -> WrongFormat:
    """The error for what format ``docker`` has no way to say."""
    return WrongFormat(f"{gun} is in format docker, which has no {what}.", hint=hint, format="docker")


class DockerPublisher:
    """What ``Publisher`` is for the other format.

    Args:
        keys: has them by the ids of bare keys (``DockerIds``, ``DockerKeyStore``).
        trust: takes collections in format ``docker``.
    """

    def __init__(
        self,
        service: NotaryService,
        keys: KeyStore,
        pins: PinStore,
        trust: Trust,
        *,
        lifetimes: Lifetimes,
        clock: Callable[[], datetime],
        sleep: Callable[[float], None],
        say: Callable[[str], None],
    ) -> None:
        self.service = service
        self.sign = DockerSigning(keys)
        self._keys = keys
        self._pins = pins
        self._trust = trust
        self._lifetimes = lifetimes
        self._clock = clock
        self._sleep = sleep
        self._say = say

    def require(self, gun: Gun) -> None:
        """Raises RoleMissing, LoginRequired and the like before anything is made or asked for (TRUST 8.1)."""
        self.service.key(gun, "timestamp")

    def current(self, gun: Gun) -> Current | None:
        """The verified state; None where the service says that there is no collection yet."""
        try:
            return self._trust.current(gun, self._clock())
        except NoCollection:
            return None
        except NoPin:
            if self._trust.exists(gun, wire="docker"):
                raise
            return None

    def follow(self, gun: Gun, current: Current, gone: list[str], comes: list[str]) -> bool:
        """This home's own pin, after the root keys of a collection changed (TRUST 5.5)."""
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
        """As ``Publisher.publish``; raises WrongFormat for what the format can't say."""
        if leave is Leave.ALWAYS:
            raise unspeakable(gun, "proposals", "Publish it with trustkit sign.")
        if change.children:
            raise unspeakable(gun, "place for the manifests below an index", "Leave out --recursive.")
        base = self.current(gun)
        entries = [
            TargetFile(len(manifest.data), {"sha256": manifest.digest.hex}, tag.name)
            for tag, manifest in change.put.items()
        ]

        def edit(draft: DockerDraft) -> None:
            draft.put(entries)
            if change.drop:
                draft.drop(tag.name for tag in change.drop)

        if base is not None:
            return self.change(gun, edit, check=change.check, base=base)
        if not found:
            raise NoCollection(f"Nothing is signed under {gun}.")
        if change.drop:
            raise Unsigned(f"Nothing is signed under {gun}.")
        return Outcome(self._found(gun, entries, root_key, change.check))

    def change(
        self,
        gun: Gun,
        edit: Edit,
        *,
        check: Check = lambda _gun, _view: None,
        agree: Agree = lambda _difference: None,
        base: Current | None = None,
        managed: bool | None = None,
        read: Read | None = None,
    ) -> Outcome:
        """Publishes what ``edit`` makes of the current state, again on each new state that others publish meanwhile.

        Args:
            edit: changes a draft, and nothing else; called once for each try.
            check: raises where the view that is served afterwards doesn't show the change.
            agree: is shown what would change before a key is touched, and raises where it may not.
            managed: whether the service makes the snapshot after this change; found out where None.
            read: gives the current state, where something of it may have expired.

        Raises:
            KeyMissing, WrongKeyRole: keys here don't suffice; nothing was uploaded.
            Conflict: others kept changing the collection for a hundred tries.
        """
        base = base or self._trust.current(gun, self._clock())
        floors: dict[str, int] = {}
        agreed: Difference | None = None
        for attempt in range(TRIES):
            draft = self._draft(gun, base, floors)
            edit(draft)
            if not draft.changed:
                return Outcome(base)
            draft.settle()
            self.sign.require(draft)
            ours = self.signs_snapshot(draft) if managed is None else not managed
            if (shown := draft.difference) != agreed:
                agree(shown)
                agreed = shown
            files = self.sign(draft)
            if ours:
                files[SNAPSHOT] = self.sign.snapshot(draft, files)
            try:
                self.service.publish(gun, files)
            except Conflict:
                self._sleep(random.uniform(0, LEAST_PAUSE * 2 ** min(attempt, DOUBLINGS)))  # noqa: S311 - spreads tries
                before, base = base, (read or self._trust.under)(base.pin, gun, self._clock())
                if before.files.get(SNAPSHOT) == base.files.get(SNAPSHOT):
                    floors = _raised(draft, base, floors)
                else:
                    self._say(f"{gun} was meanwhile changed by somebody else; the change is made anew on that.")
                continue
            return Outcome(self._read_back(gun, base.pin, files, check, read))
        raise Conflict(f"{gun} was changed by others {TRIES} times in a row.", hint="Try again.")

    def preview(self, gun: Gun, edit: Edit) -> Difference:
        """What ``change`` would change now; nothing is signed or published, and no passphrase asked for."""
        draft = self._draft(gun, self._trust.current(gun, self._clock()), {})
        edit(draft)
        return draft.difference

    def draft(self, gun: Gun, base: Current) -> DockerDraft:
        """A draft on a verified state."""
        return self._draft(gun, base, {})

    def _draft(self, gun: Gun, base: Current, floors: Mapping[str, int]) -> DockerDraft:
        now = self._clock()
        return DockerDraft(gun, base.files, now=now, lifetimes=self._lifetimes, holds=self.sign.holds, floors=floors)

    def signs_snapshot(self, draft: DockerDraft) -> bool:
        """Whether the snapshot is signed here; raises KeyMissing where neither we nor the service can."""
        keys = draft.keys(SNAPSHOT)
        if self.sign.holds(SNAPSHOT, keys):
            return True
        if self.service.key(draft.gun, SNAPSHOT).keyid in {key.keyid for key in keys}:
            return False
        raise KeyMissing(
            f"The snapshot key of {draft.gun} ({keys[0].canonical_id[:16]}) is a publisher's, and is not in "
            f"{self._keys.place}.",
            hint=f"Bring it here, or give the service the snapshot: trustkit key rotate {draft.gun} --role snapshot",
            role=SNAPSHOT,
        )

    def _read_back(
        self, gun: Gun, pin: Pin, files: Mapping[str, bytes], check: Check, read: Read | None = None
    ) -> Current:
        """Fetches what is served and verifies it as a consumer with this pin would (TRUST 3.9)."""

        def once() -> tuple[Current, bool]:
            current = (read or self._trust.under)(pin, gun, self._clock())
            served = {role: data for role, data in files.items() if current.files.get(role) == data}
            behind = [role for role in files if role in current.view.versions and role not in served]
            for role in behind:
                mine = _version(role, files[role])
                if role in ("root", TARGETS, RELEASES) and current.view.versions[role] <= mine:
                    raise RolledBack(
                        f"{gun} was published, but its {role} is served in an older version, or another."
                    )
            return current, not behind

        current, same = patiently(once, sleep=self._sleep, clock=self._clock)
        if same:
            check(gun, current.view)
        return current

    def _found(self, gun: Gun, entries: list[TargetFile], root_key: str | None, check: Check) -> Current:
        """A new collection as ``docker`` makes one: the service has snapshot and timestamp."""
        now, pin = self._clock(), self._pins.find(gun)
        online = {role: self.service.key(gun, role) for role in (SNAPSHOT, "timestamp")}
        root_info = self._root(gun, pin, root_key)
        certificate = self.sign.certificate(gun, root_info, now)
        left = [i for i in self._keys.list() if i.role is KeyRole.REPOSITORY and i.gun == gun]
        if not left:
            self._say(f"Making the repository key of {gun}: it signs tags.")
        repository = left[-1] if left else self._keys.generate(KeyRole.REPOSITORY, gun=gun)
        signer = self._keys.unlock(repository)
        own = self.sign.opened(repository)
        life = self._lifetimes.default
        keys = {
            "root": [certificate],
            TARGETS: [own],
            SNAPSHOT: [online[SNAPSHOT]],
            "timestamp": [online["timestamp"]],
        }
        root = new_root(keys, version=1, expires=(now + life["root"]).replace(microsecond=0))
        expires = (now + life["targets"]).replace(microsecond=0)
        targets = new_targets({entry.path: entry for entry in entries}, version=1, expires=expires)
        files = {
            "root": sign(root, [(certificate, self._keys.unlock(root_info))]),
            TARGETS: sign(targets, [(own, signer)]),
        }
        self.service.publish(gun, files)
        if pin is None:
            pin = Pin(str(gun), key_ids=(certificate.keyid,), threshold=1, format="docker")
            self._pins.add(pin)
        return self._read_back(gun, pin, files, check)

    def _root(self, gun: Gun, pin: Pin | None, wanted: str | None) -> KeyInfo:
        here = [info for info in self._keys.list() if info.role is KeyRole.ROOT]
        if wanted is not None:
            here = [info for info in here if info.id.startswith(wanted)]
            if not here:
                raise lacking(self._keys, "root", [wanted], f"Founding {gun} takes the root key that is named")
        if pin is not None:
            pinned = usable(self._keys, "root", pin.key_ids)
            here = [info for info in here if info in pinned]
            if not here:
                raise KeyMissing(
                    f"{gun} is pinned to a root that a new collection with the keys here can't have.",
                    hint=f"trustkit pin remove {pin.pattern}, if it is to begin anew.",
                )
        if wanted is None and pin is None:
            here = [info for info in here if _fits(info)]
        if len(here) > 1:
            raise UsageError(
                f"There are several root keys in {self._keys.place}.", hint="Say which with --root-key ID."
            )
        if here:
            return here[0]
        self._say("Making a root key: it founds collections, and is needed seldom. Keep a copy of it offline.")
        return self._keys.generate(KeyRole.ROOT)


def _fits(info: KeyInfo) -> bool:
    """Whether a root key can have a certificate of this format; one that is closed says nothing else."""
    return info.public.keytype in ("ecdsa", "closed")


def _version(role: str, data: bytes) -> int:
    return int(read(data, role_kind(role)).signed.version)


def _raised(draft: DockerDraft, base: Current, floors: Mapping[str, int]) -> dict[str, int]:
    """Versions that seem to be used up of roles that have no file now: Notary's server keeps those of ended roles."""
    new = [role for role in draft.changed if role not in base.files]
    return {**floors, **{role: floors.get(role, 0) + 1 for role in new}}
