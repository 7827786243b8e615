"""What a separate signer does: it makes online keys, and signs what its judge lets pass (TRUST 3.6, 8.5)."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from securesystemslib.signer import Key, Signer

from trustkit.authority.sealedkeys import SealedKeys, public_half
from trustkit.core.catchup import caught_up
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.names import Gun
from trustkit.core.onlinejudge import Record, check_state, judge_snapshot, judge_timestamp, next_root, signed_file
from trustkit.core.ports.service import AuditRow, SealedKey
from trustkit.core.ports.signing import Entry, Held, Ledger
from trustkit.core.roots import ONLINE
from trustkit.errors import Conflict, ConsentMissing, Malformed, NotFound, Rejected

log = logging.getLogger("trustkit.signer")

RESET, CATCH_UP = "reset", "catch-up"
CONSENT = timedelta(days=1)
"""How long a consent waits to be used."""
_REFUSED = {
    RESET: "No reset of {gun} was allowed here.",
    CATCH_UP: "This signer has signed less of {gun} than its service has stored: its database is an older copy, or a "
    "new one, and going on was not allowed here.",
}


def consent(ledger: Ledger, gun: Gun, act: str, root_keys: Collection[str], by: str, now: datetime) -> datetime:
    """Writes down that the signer's operator allows an act once.

    Args:
        root_keys: for ``CATCH_UP`` the ids of the root keys that vouch for the service's state, or none.

    Returns:
        Until when.

    Raises:
        NotFound: there is no key of this collection to reset.
    """
    until = now + CONSENT
    with ledger.entry(gun) as entry:
        if act == RESET and not entry.keys():
            raise NotFound(f"This signer has no keys of {gun}.")
        entry.allow(act, until, root_keys)
        detail = {"until": f"{until:%Y-%m-%dT%H:%M:%SZ}", "root_keys": sorted(root_keys)}
        entry.note(AuditRow(now, by, "local", f"{act}-allowed", str(gun), detail))
    return until


def withdraw(ledger: Ledger, gun: Gun, act: str, by: str, now: datetime) -> bool:
    """Takes a consent back; whether there was one that could still be used."""
    with ledger.entry(gun) as entry:
        there = entry.take(act, now) is not None
        if there:
            entry.note(AuditRow(now, by, "local", f"{act}-withdrawn", str(gun), {}))
    return there


class Signing:
    """The use cases.  Each waits for the disk: call it in a thread."""

    def __init__(
        self, ledger: Ledger, keys: SealedKeys, *, lifetimes: Lifetimes, clock: Callable[[], datetime]
    ) -> None:
        self._ledger = ledger
        self._keys = keys
        self._lifetimes = lifetimes
        self._clock = clock

    def make(self, gun: Gun) -> Mapping[str, Key]:
        """The public keys of a collection, made where there are none."""
        with self._ledger.entry(gun) as entry:
            there = entry.keys()
            if not there:
                there = self._made(entry, gun)
        return {role: public_half(sealed) for role, sealed in there.items()}

    def public(self, gun: Gun) -> Mapping[str, Key]:
        """The public keys of a collection; raises NotFound where none were made."""
        with self._ledger.entry(gun) as entry:
            there = {role: self._sealed(entry, gun, role) for role in ONLINE}
        return {role: public_half(sealed) for role, sealed in there.items()}

    def stage(self, gun: Gun, roles: Iterable[str]) -> Mapping[str, Key]:
        """The public keys that wait for a root to name them, made for those of these roles that none waits for.

        Raises:
            NotFound: no key was made for this collection.
        """
        wanted = frozenset(roles)
        if not wanted <= set(ONLINE):
            raise Malformed("This signer has snapshot and timestamp keys, and no others.")
        with self._ledger.entry(gun) as entry:
            self._sealed(entry, gun, "timestamp")
            waiting = entry.pending()
            made = {role: self._keys.make(gun, role) for role in ONLINE if role in wanted - waiting.keys()}
            entry.add_pending(made)
            if made:
                self._note(entry, gun, "keys-staged", {role: key.key_id for role, key in made.items()})
        return {role: public_half(sealed) for role, sealed in {**waiting, **made}.items()}

    def replace(self, gun: Gun) -> Mapping[str, Key]:
        """New keys in the place of all that there are, once for each time that our operator allows it.

        Versions go on.  What follows is under a root that the one before needn't vouch for (TRUST 3.5).

        Raises:
            NotFound: no key was made for this collection.
            ConsentMissing: our operator hasn't allowed it.
        """
        with self._ledger.entry(gun) as entry:
            there = {role: self._sealed(entry, gun, role) for role in ONLINE}
            record = entry.record()
            if not record.anew:
                self._take(entry, gun, RESET)
                there = {role: self._keys.make(gun, role) for role in ONLINE}
                entry.replace_keys(there)
                entry.put_record(replace(record, anew=True))
                detail = {"keys": {role: key.key_id for role, key in there.items()}, "versions": record.versions}
                self._note(entry, gun, "begun-anew", detail)
                log.info("%s begins anew, with new keys", gun)
        return {role: public_half(sealed) for role, sealed in there.items()}

    def catch_up(self, gun: Gun, files: Mapping[str, bytes]) -> None:
        """Goes on from the service's state, where our database is behind it; once for each consent of our operator.

        Keys are made where there are none.  Where the root names others, its publisher has to have it name ours.

        Raises:
            ConsentMissing: our operator hasn't allowed it.
            Rejected: see ``core.catchup``.
        """
        with self._ledger.entry(gun) as entry:
            named = self._take(entry, gun, CATCH_UP)
            before = entry.record()
            after, root = caught_up(gun, files, before, named, self._clock())
            there = entry.keys() or self._made(entry, gun)
            entry.put_record(after)
            waiting = entry.pending()
            entry.adopt([role for role, key in waiting.items() if key.key_id in root.roles[role].keyids])
            detail = {"from": before.versions, "to": after.versions, "root": root.version}
            self._note(entry, gun, "caught-up", detail)
            ours = {role: entry.keys()[role].key_id in root.roles[role].keyids for role in there}
        log.warning("%s goes on from the service's state: snapshot %d, timestamp %d", gun, *after.versions.values())
        if not all(ours.values()):
            log.warning("the root of %s names keys that aren't here; its publisher has to rotate them", gun)

    def sign(self, gun: Gun, role: str, payload: bytes, files: Mapping[str, bytes]) -> str:
        """Judges a payload, writes it down and signs it: in this order, so no version gets two payloads.

        Args:
            payload: the bytes that the signature covers, whole.
            files: with a timestamp, the files that its state changes; with a snapshot, the root of its state or none.

        Returns:
            The signature as hex, once the record is on disk.

        Raises:
            Rejected, Conflict: the judge refuses; nothing was signed or written.
            NotFound: no key was made for this collection.
            StateError: the record can't be written, or the key can't be opened.
        """
        if role not in ONLINE:
            raise Malformed("This signer signs snapshots and timestamps, and nothing else.")
        if role == "snapshot" and not files.keys() <= {"root"}:
            raise Malformed("Files come with a timestamp only.")
        try:
            return self._judged(gun, role, payload, files, self._clock())
        except (Rejected, Conflict) as error:
            log.warning("refused a %s of %s: %s", role, gun, error.message)
            raise

    def _judged(self, gun: Gun, role: str, payload: bytes, files: Mapping[str, bytes], now: datetime) -> str:
        with self._ledger.entry(gun) as entry:
            sealed, before, root = self._sealed(entry, gun, role), entry.record(), files.get("root")
            if before.anew and root is None:
                raise Malformed(
                    f"{gun} was reset, and begins anew with a new root only.",
                    hint=f"If the service doesn't know of it, ask for the reset again: trustkit reset {gun}",
                )
            if role == "snapshot":
                after = judge_snapshot(gun, payload, before, now=now, lifetimes=self._lifetimes)
                shown = payload == before.released
            else:
                after = judge_timestamp(gun, payload, before, files, now=now, lifetimes=self._lifetimes)
                shown = after == before
            # what was shown already is of the state before: a key that waits signs its own state and none else
            named = {} if shown else _named(entry, root, before)
            signer = self._keys.signer(gun, named.get(role, sealed))
            signature = signer.sign(payload).signature
            if role == "timestamp":
                check_state(gun, after, before, signed_file(payload, signer.public_key.keyid, signature), now)
            if after != before:
                entry.put_record(after)
                if role == "timestamp" and named:
                    entry.adopt(named)
                    self._note(entry, gun, "keys-adopted", {name: key.key_id for name, key in named.items()})
        digest = hashlib.sha256(payload).hexdigest()
        log.info("signed %s version %d of %s, payload sha256:%s", role, after.versions[role], gun, digest)
        return signature

    def held(self, gun: Gun) -> Held:
        """How far this signer has come with a collection; raises NotFound where it has no key for it."""
        with self._ledger.entry(gun) as entry:
            signer = self._keys.signer(gun, self._sealed(entry, gun, "timestamp"))
            record = entry.record()
        return Held(record.versions, {} if record.anew else _state(record, signer))

    def _made(self, entry: Entry, gun: Gun) -> Mapping[str, SealedKey]:
        made = {role: self._keys.make(gun, role) for role in ONLINE}
        entry.add_keys(made)
        self._note(entry, gun, "keys-made", {role: key.key_id for role, key in made.items()})
        return made

    def _take(self, entry: Entry, gun: Gun, act: str) -> frozenset[str]:
        """Uses a consent up; raises ConsentMissing."""
        named = entry.take(act, self._clock())
        if named is None:
            log.warning("refused a %s of %s: our operator has not allowed it", act, gun)
            raise ConsentMissing(
                _REFUSED[act].format(gun=gun),
                hint="The signer's operator allows it, on its machine: "
                f"trustkit admin --data-dir DIR allow-{act} {gun}. Then try again.",
            )
        log.info("%s: the operator's consent to a %s is used up", gun, act)
        return named

    def _note(self, entry: Entry, gun: Gun, action: str, detail: Mapping[str, object]) -> None:
        entry.note(AuditRow(self._clock(), "service", "signer", action, str(gun), detail))

    def _sealed(self, entry: Entry, gun: Gun, role: str) -> SealedKey:
        sealed = entry.keys().get(role)
        if sealed is None:
            raise NotFound(f"This signer has no {role} key of {gun}.", hint="Was its data folder changed?")
        return sealed


def _named(entry: Entry, root: bytes | None, before: Record) -> Mapping[str, SealedKey]:
    """By role the keys that wait and that the root names which comes with what is to be signed."""
    waiting = entry.pending() if root is not None else {}
    if root is None or not waiting:
        return {}
    roles = next_root(root, before).roles
    return {role: key for role, key in waiting.items() if key.key_id in roles[role].keyids}


def _state(record: Record, signer: Signer) -> Mapping[str, bytes]:
    if record.timestamp is None:
        return {}
    signature = signer.sign(record.timestamp).signature  # once more, over what was signed before
    return {**record.files, "timestamp": signed_file(record.timestamp, signer.public_key.keyid, signature)}
