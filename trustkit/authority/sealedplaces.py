"""Where values lie that are sealed under a key-encryption key: a service's database, and a separate signer's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from trustkit.authority.sealedkeys import reopen
from trustkit.authority.sealing import Sealer
from trustkit.authority.tokenkeys import SETTING, reseal_ca
from trustkit.core.ports.resealing import ResealingLedger, ResealingStore, ResealingTransaction, SealedRow
from trustkit.core.ports.service import AuditRow

Row = Callable[[int], AuditRow]
"""The line of the log for so many values that were sealed anew."""


class SealedPlace(Protocol):
    """Whatever of one database is sealed."""

    async def require(self, sealer: Sealer) -> None:
        """Returns where all of it opens; raises StateError."""
        ...

    async def reseal(self, under: Sealer, new: Sealer, row: Row | None = None) -> int:
        """Seals anew whatever doesn't open under the new key, in one transaction in which nobody else writes.

        Returns:
            How much that was.

        Raises:
            StateError: something opens under none of these; all is as before.
        """
        ...


class InService:
    """A service's: the keys of its tokens' authority, and online keys."""

    def __init__(self, store: ResealingStore) -> None:
        self._store = store

    async def require(self, sealer: Sealer) -> None:
        """As ``SealedPlace``."""
        async with self._store.read() as tx:
            stored = await tx.settings.get(SETTING)
            if stored is not None:
                reseal_ca(stored, sealer, sealer)
            for row in await tx.sealed.all():
                reopen(row.gun, row.key, sealer)

    async def reseal(self, under: Sealer, new: Sealer, row: Row | None = None) -> int:
        """As ``SealedPlace``."""
        async with self._store.write() as tx:
            count = await self._reseal(tx, under, new)
            if row:
                await tx.audit.append(row(count))
        return count

    async def _reseal(self, tx: ResealingTransaction, under: Sealer, new: Sealer) -> int:
        count = 0
        stored = await tx.settings.get(SETTING)
        if stored is not None and (changed := reseal_ca(stored, under, new)) is not None:
            await tx.settings.put(SETTING, changed)
            count += 1
        for row in await tx.sealed.all():
            if sealed := _anew(row, under, new):
                await tx.sealed.replace(row, sealed)
                count += 1
        return count


class InSigner:
    """A separate signer's: the online keys that it has in use, and those that wait for a root.

    Its own writes seal within the transaction in which they store, so none is between the two.
    """

    def __init__(self, ledger: ResealingLedger) -> None:
        self._ledger = ledger

    async def require(self, sealer: Sealer) -> None:
        """As ``SealedPlace``."""
        with self._ledger.sealed() as rows:
            for row in rows.all():
                reopen(row.gun, row.key, sealer)

    async def reseal(self, under: Sealer, new: Sealer, row: Row | None = None) -> int:
        """As ``SealedPlace``."""
        count = 0
        with self._ledger.sealed() as rows:
            for each in rows.all():
                if sealed := _anew(each, under, new):
                    rows.replace(each, sealed)
                    count += 1
            if row:
                rows.note(row(count))
        return count


def _anew(row: SealedRow, under: Sealer, new: Sealer) -> bytes:
    """A row's value sealed under the new key; empty where it is already, or lies elsewhere."""
    opened = reopen(row.gun, row.key, under)
    return b"" if opened is None or opened.under(new) else opened.sealed(new)
