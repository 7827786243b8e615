"""Root ceremonies: proposing a root online, signing it offline, publishing it online (TRUST 3.3, 5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from tuf.api.metadata import Root

from trustkit.client.holding import lacking, usable
from trustkit.client.publish import Publisher
from trustkit.client.signing import Signing
from trustkit.client.trust import Current
from trustkit.core.ceremony import Ceremony, Wanted, check_expiry, propose
from trustkit.core.difference import Difference, difference
from trustkit.core.draft import Draft
from trustkit.core.formats.tuf1 import payload_digest, read
from trustkit.core.judge import State, judge
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.names import Gun
from trustkit.core.pinning import meets
from trustkit.core.ports.ceremony import RootMemory
from trustkit.core.ports.keys import KeyInfo, KeyStore
from trustkit.core.ports.remote import PinStore
from trustkit.core.roots import ONLINE, root_signers
from trustkit.core.rotation import carry_delegations
from trustkit.core.view import SignedView
from trustkit.errors import BadCeremony, BadSignature, Conflict, NoCollection

Agree = Callable[[Difference], None]


@dataclass(frozen=True, slots=True)
class Signable:
    """What a holder may sign: the keys here that are asked to, and those of them that have signed before."""

    asked: tuple[KeyInfo, ...]
    done: tuple[str, ...]


class Holding:
    """What the holder of a root key does, with no network: nothing here has any way to reach one.

    Args:
        memory: the last roots that were signed in this home.
    """

    def __init__(self, keys: KeyStore, pins: PinStore, memory: RootMemory, *, lifetimes: Lifetimes) -> None:
        self._keys = keys
        self._pins = pins
        self._memory = memory
        self._lifetimes = lifetimes

    def check(self, ceremony: Ceremony, now: datetime, *, current: str | None, again: bool) -> Signable:
        """Whether the keys here may sign it.

        The file's word for what the root is now is believed only where a key here has signed that root, a pin here is
        met by it, or the holder got its digest by another channel: a false one would hide what the new root changes.

        Args:
            current: the beginning of the digest of the current root that the holder was told.
            again: sign another root of a version of which one was signed here before.

        Raises:
            BadCeremony: the expiry, the current root, or a version that was signed here before.
            KeyMissing, WrongKeyRole: no root key of it is here, or it is kept for something else.
        """
        check_expiry(ceremony, now, self._lifetimes)
        here = usable(self._keys, "root", ceremony.holders)
        if not here:
            raise lacking(self._keys, "root", ceremony.holders, "This ceremony takes its root keys")
        self._check_current(ceremony, {info.id for info in here}, current)
        self._check_memory(ceremony, again=again)
        asked = tuple(info for info in here if info.id not in ceremony.signatures)
        return Signable(asked, tuple(info.id for info in here if info.id in ceremony.signatures))

    def sign(self, ceremony: Ceremony, signable: Signable, *, rehearse: bool = False) -> Ceremony:
        """With the signatures of the keys here, each checked.

        Args:
            rehearse: open the keys and sign, and note and keep nothing of it.

        Raises:
            KeyProblem: as ``KeyStore.unlock``.
        """
        signers = {info.id: self._keys.unlock(info) for info in signable.asked}
        if not rehearse:
            self._memory.note(ceremony.gun, ceremony.proposed.version, ceremony.fingerprint)
        covered = ceremony.payload
        return ceremony.with_signatures(
            {key_id: signer.sign(covered).signature for key_id, signer in signers.items()}
        )

    def _check_current(self, ceremony: Ceremony, here: set[str], told: str | None) -> None:
        if told is not None:
            if not ceremony.base.startswith(told.lower()):
                raise BadCeremony(
                    f"The current root in this file is {ceremony.base}, not {told}.",
                    hint="Don't sign. Ask who proposed it, by another channel.",
                )
            return
        if root_signers(read(ceremony.current, Root)) & here:
            return
        pin = self._pins.find(ceremony.gun)
        if pin and (pin.root == ceremony.current or (pin.key_ids and meets(pin, ceremony.gun, ceremony.current))):
            return
        raise BadCeremony(
            f"No key here has signed what this file says is the current root of {ceremony.gun}, and no pin here "
            "names it, so that nothing says that it is.",
            hint="Have its digest read to you, from trustkit root show, by another channel; then: --current HEX.",
            current=ceremony.base,
        )

    def _check_memory(self, ceremony: Ceremony, *, again: bool) -> None:
        last = self._memory.last(ceremony.gun)
        version = ceremony.proposed.version
        if last is None or version > last[0] or (version, ceremony.fingerprint) == last:
            return
        if version == last[0] and again:
            return
        raise BadCeremony(
            f"Version {last[0]} of the root of {ceremony.gun} was signed here before, and this is another root of "
            f"version {version}: two of them would be a fork.",
            hint="If the other one was dropped and never published, give --again."
            if version == last[0]
            else "Don't sign. It goes back behind what you signed.",
            version=last[0],
        )


class Ceremonies:
    """What is done where the network is."""

    def __init__(
        self,
        publisher: Publisher,
        keys: KeyStore,
        *,
        lifetimes: Lifetimes,
        clock: Callable[[], datetime],
        say: Callable[[str], None],
    ) -> None:
        self._publisher = publisher
        self._sign = Signing(keys)
        self._lifetimes = lifetimes
        self._clock = clock
        self._say = say

    def propose(self, gun: Gun, wanted: Wanted, *, days: int | None) -> Ceremony:
        """An unsigned ceremony on the verified current root; raises UsageError, and what ``Trust.current`` raises."""
        life = self._lifetimes.default["root"] if days is None else timedelta(days=days)
        return propose(gun, self._current(gun).files["root"], wanted, now=self._clock(), life=life)

    def publish(self, ceremony: Ceremony, agree: Agree) -> SignedView:
        """Publishes the root with all its signatures, and what has to be signed anew under it, in one publish.

        A root that was published already is no error; this home's own pin moves to it.

        Raises:
            BadSignature: signatures lack.
            Conflict: the root is another than the one that the ceremony follows.
            KeyMissing: it names new repository keys, and none of them is here.
            everything that ``Publisher.apply`` raises.
        """
        gun = ceremony.gun
        self._publisher.require(gun)
        base = self._current(gun)
        if payload_digest(read(base.files["root"], Root).signed) != ceremony.fingerprint:
            self._check_complete(ceremony)
            served = self._publisher.apply(
                gun,
                lambda draft: _adopt(draft, ceremony),
                check=lambda _, view: _check(view, ceremony),
                agree=agree,
                base=base,
            )
        else:
            served = base
            self._say(f"This root of {gun} is published already.")
        old, new = ceremony.old.roles["root"].keyids, ceremony.proposed.roles["root"].keyids
        gone, comes = set(old) - set(new), [key_id for key_id in new if key_id not in old]
        if self._publisher.follow(gun, served, gone, comes):
            self._say(f"The pin of {gun} here is the new root now.")
        return served.view

    def rehearse(self, ceremony: Ceremony) -> Difference:
        """Everything that ``publish`` does but the upload, with the judge's own rules in the service's place.

        Raises:
            as ``publish``; Rejected where the service would refuse, as far as its settings are the usual ones.
        """
        gun, now = ceremony.gun, self._clock()
        self._publisher.require(gun)
        base = self._current(gun)
        self._check_complete(ceremony)
        draft = Draft(gun, base.files, now=now, lifetimes=self._lifetimes)
        _adopt(draft, ceremony)
        draft.settle()
        signed = self._sign(draft)
        stored = {role: data for role, data in base.files.items() if role not in ONLINE}
        old = draft.old_root
        online = {role: old.keys[old.roles[role].keyids[0]] for role in ONLINE}
        judge(State(gun, stored, online), signed.files, now=now, lifetimes=self._lifetimes)
        return difference(draft.before, draft.after)

    def _current(self, gun: Gun) -> Current:
        current = self._publisher.current(gun)
        if current is None:
            raise NoCollection(f"Nothing is signed under {gun}, so it has no root.")
        return current

    def _check_complete(self, ceremony: Ceremony) -> None:
        check_expiry(ceremony, self._clock(), self._lifetimes)
        if lacks := ceremony.missing:
            raise BadSignature(
                f"The root of {ceremony.gun} isn't signed by enough holders: {'; '.join(lacks)}.",
                hint="Give the other holders' signatures with --signature FILE.",
                missing=lacks,
            )


def _adopt(draft: Draft, ceremony: Ceremony) -> None:
    """The ceremony's root as the draft's, its new repository keys in the place of the old ones wherever they sign."""
    if payload_digest(draft.old_root) != ceremony.base:
        raise Conflict(
            f"The root of {draft.gun} is at version {draft.old_root.version} by now, and this ceremony is for what "
            f"follows version {ceremony.old.version}.",
            hint="Propose it anew: trustkit root propose. Holders who signed this one sign the new one.",
            version=draft.old_root.version,
        )
    before = draft.delegations
    draft.adopt_root(ceremony.signed)
    old, new = ceremony.old.roles["targets"].keyids, ceremony.proposed.roles["targets"].keyids
    comes = [ceremony.proposed.keys[key_id] for key_id in new if key_id not in old]
    carry_delegations(draft, before, set(old) - set(new), comes)


def _check(view: SignedView, ceremony: Ceremony) -> None:
    if set(view.root_keys) != set(ceremony.proposed.roles["root"].keyids):
        raise Conflict(f"The root of {view.gun} was published, and isn't what is served.")
