"""What a separate signer does: it makes online keys, and signs what its judge lets pass (TRUST 3.6, 8.5)."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from securesystemslib.signer import Key, Signer

from trustkit.authority.sealedkeys import SealedKeys, public_half
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.names import Gun
from trustkit.core.onlinejudge import Record, check_state, judge_snapshot, judge_timestamp, next_root, signed_file
from trustkit.core.ports.service import SealedKey
from trustkit.core.ports.signing import Entry, Held, Ledger
from trustkit.core.roots import ONLINE
from trustkit.errors import Conflict, Malformed, NotAllowed, NotFound, Rejected

log = logging.getLogger("trustkit.signer")


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
                there = {role: self._keys.make(gun, role) for role in ONLINE}
                entry.add_keys(there)
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
        return {role: public_half(sealed) for role, sealed in {**waiting, **made}.items()}

    def replace(self, gun: Gun) -> Mapping[str, Key]:
        """New keys in the place of all that there are, once for each time that our operator allows it.

        Versions go on.  What follows is under a root that the one before needn't vouch for (TRUST 3.5).

        Raises:
            NotFound: no key was made for this collection.
            NotAllowed: our operator hasn't allowed it.
        """
        with self._ledger.entry(gun) as entry:
            there = {role: self._sealed(entry, gun, role) for role in ONLINE}
            record = entry.record()
            if not record.anew:
                if not entry.take_allowance():
                    log.warning("refused to begin %s anew: no reset of it was allowed here", gun)
                    raise NotAllowed(
                        f"No reset of {gun} was allowed here.",
                        hint="The signer's operator allows one, on its machine: "
                        f"trustkit admin --data-dir DIR allow-reset {gun}. Then ask for the reset again.",
                    )
                there = {role: self._keys.make(gun, role) for role in ONLINE}
                entry.replace_keys(there)
                entry.put_record(replace(record, anew=True))
                log.info("%s begins anew, with new keys", gun)
        return {role: public_half(sealed) for role, sealed in there.items()}

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
            before = entry.record()
            named = _named(entry, files.get("root"), before)
            signer = self._keys.signer(gun, named.get(role) or self._sealed(entry, gun, role))
            if role == "snapshot":
                after = judge_snapshot(gun, payload, before, now=now, lifetimes=self._lifetimes)
            else:
                after = judge_timestamp(gun, payload, before, files, now=now, lifetimes=self._lifetimes)
            signature = signer.sign(payload).signature
            if role == "timestamp":
                check_state(gun, after, before, signed_file(payload, signer.public_key.keyid, signature), now)
            if after != before:
                entry.put_record(after)
                if role == "timestamp":
                    entry.adopt(named)
        digest = hashlib.sha256(payload).hexdigest()
        log.info("signed %s version %d of %s, payload sha256:%s", role, after.versions[role], gun, digest)
        return signature

    def held(self, gun: Gun) -> Held:
        """How far this signer has come with a collection; raises NotFound where it has no key for it."""
        with self._ledger.entry(gun) as entry:
            signer = self._keys.signer(gun, self._sealed(entry, gun, "timestamp"))
            record = entry.record()
        return Held(record.versions, {} if record.anew else _state(record, signer))

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
