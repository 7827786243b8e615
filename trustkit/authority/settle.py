"""Catching up with a separate signer that has signed more than the database holds, or the other way round.

The signer writes down what it signs before the signature leaves, and its versions are used up then.  Where the answer
was lost, because either process was killed or the network was slow, nothing was stored here.  The signer keeps the
state that it signed for, so the next publish or renewal takes it from there, and no version is ever used twice.

A signer that is behind, because its database came from an older copy, is shown the state that is stored here.  It
goes on from there if its operator has allowed it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from functools import partial

from securesystemslib.signer import Key
from tuf.api.metadata import Root, Signed

from trustkit.authority.founders import require_founder
from trustkit.authority.means import Means
from trustkit.authority.publish import Publishing, T
from trustkit.authority.resign import stored
from trustkit.core.evaluate import evaluate_but_expiry
from trustkit.core.formats.tuf1 import read, role_kind
from trustkit.core.names import Gun
from trustkit.core.onlinejudge import check_root_follows
from trustkit.core.ports.service import AuditRow, StoredFile, Transaction
from trustkit.core.ports.signing import BehindService, Held, SeparateSigner, SignerAhead
from trustkit.core.roots import ONLINE
from trustkit.errors import NotTrusted, Rejected

log = logging.getLogger("trustkit.signer")


class Settling:
    """The use case."""

    def __init__(self, means: Means, separate: SeparateSigner) -> None:
        self._means = means
        self._separate = separate

    async def settle(self, gun: Gun) -> None:
        """Stores the state that the signer has signed, where it is newer and good, and goes on from its versions.

        Raises:
            ServerFailed, StateError: the signer can't be reached, or the database can't be written.
            ConsentMissing: the signer is behind, and its operator hasn't allowed it to go on from what is stored.
        """
        held = await self._ahead(gun)
        if held is None:
            return
        keys = await asyncio.to_thread(self._separate.make, gun)
        self._means.keys.note_used(gun, held.versions)
        try:
            async with self._means.store.write(gun) as tx:
                taken = await self._take(tx, gun, held.files, keys, self._means.clock())
        except (Rejected, NotTrusted) as error:
            log.warning("what the signer has signed for %s is not taken: %s", gun, error)
            return
        if taken:
            self._means.changed(gun)
            log.info("%s: took a state that the signer had signed and that was not stored", gun)

    async def _ahead(self, gun: Gun) -> Held | None:
        """How far the signer has come, where that is farther than what is stored; one that is behind catches up."""
        async with self._means.store.read() as tx:
            current = await tx.collections.current(gun)
        try:
            held = await asyncio.to_thread(self._separate.held, gun)
        except BehindService:
            held = Held({}, {})
        lead = {held.versions.get(role, 0) - _at(current, role) for role in ONLINE}
        if min(lead) >= 0:
            return held if max(lead) > 0 else None
        await asyncio.to_thread(self._separate.catch_up, gun, {role: file.data for role, file in current.items()})
        self._means.keys.note_used(gun, {})
        log.warning("%s: the signer was behind, and goes on from the state that is stored here", gun)
        return None

    async def _take(
        self, tx: Transaction, gun: Gun, files: Mapping[str, bytes], keys: Mapping[str, Key], now: datetime
    ) -> bool:
        record = await tx.collections.get(gun)
        anew = record is None or record.closed is not None
        current = await tx.collections.current(gun)
        newer = [file for role, data in files.items() if (file := _stored(role, data)).version > _at(current, role)]
        if "timestamp" not in {file.role for file in newer}:
            return False
        after = {role: file.data for role, file in current.items()} | {file.role: file.data for file in newer}
        # expired or not: whoever renews it needs it stored, and clients refuse it until then
        await asyncio.to_thread(partial(evaluate_but_expiry, after, gun, now, fresh=frozenset()))
        root = next((read(file.data, Root) for file in newer if file.role == "root"), None)
        if root is not None:
            check_root_follows(root, read(current["root"].data, Root) if "root" in current else None, anew=anew)
            if anew:
                await require_founder(tx, gun, root)
                await (tx.collections.found(gun, now) if record is None else tx.upkeep.close(gun, None))
            await self._means.keys.follow(tx, gun, keys, now)
        elif anew:
            return False
        await tx.collections.add_files(gun, newer, now)
        detail = {"versions": {file.role: file.version for file in newer}}
        await tx.audit.append(AuditRow(now, "service", "signer", "taken-from-signer", str(gun), detail))
        return True


class SettledPublishing(Publishing):
    """Publishing with a separate signer.

    Args:
        settling: for when that signer has signed more than is stored.
    """

    def __init__(self, means: Means, settling: Settling) -> None:
        super().__init__(means)
        self._settling = settling

    async def transact(self, gun: Gun, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """As ``Publishing.transact``; ``work`` is done again where the signer had signed more than was stored.

        Raises:
            ServerFailed: the signer can't be reached.  Nothing was stored; a state that it has signed without our
                learning so is taken up by the next publish or renewal.
            StateError: the signer refuses.
            ConsentMissing: as ``Settling.settle``.
        """
        try:
            return await super().transact(gun, work)
        except (SignerAhead, BehindService):
            await self._settling.settle(gun)
            return await super().transact(gun, work)


def _stored(role: str, data: bytes) -> StoredFile:
    signed: Signed = read(data, role_kind(role), f"{role}.json").signed
    return stored(signed, data, role)


def _at(current: Mapping[str, StoredFile], role: str) -> int:
    return current[role].version if role in current else 0
