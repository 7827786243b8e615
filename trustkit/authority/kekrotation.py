"""A new key-encryption key, while services go on (TRUST 8.5).

For the time of the change the file has both, the new one first.  A service seals under the first and opens under
any; it looks at the file again before it seals, and where something doesn't open.  So whatever is sealed after the
file has changed is sealed under the new one; what was sealed before is sealed anew in one transaction, during which
nobody writes.  Only when everything opens under the new one alone does the old one leave the file: whenever this is
cut short, the file opens all that there is.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from trustkit.authority.sealedkeys import reopen
from trustkit.authority.sealing import KEK_BYTES, Sealer
from trustkit.authority.tokenkeys import SETTING, reseal_ca
from trustkit.authority.wrappedkek import kek_id
from trustkit.core.ports.resealing import ResealingStore, ResealingTransaction
from trustkit.core.ports.service import AuditRow
from trustkit.core.ports.wrapping import KekFiles
from trustkit.errors import StateError

GRACE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Rotated:
    """What has become of a rotation: the ids of the keys, and how many values were sealed anew."""

    old: str
    new: str
    resealed: int = 0


class KekRotation:
    """Changes the key-encryption key of one service.

    Args:
        files: of its key-encryption key, which lies in the plain one.
        actor: who administers it.
        grace: seconds until the last look, for a key that a service has sealed and not stored yet.
    """

    def __init__(
        self,
        store: ResealingStore,
        files: KekFiles,
        *,
        actor: str,
        clock: Callable[[], datetime],
        grace: float = GRACE_SECONDS,
    ) -> None:
        self._store, self._files, self._actor, self._clock = store, files, actor, clock
        self._grace = grace

    async def stage(self) -> Rotated:
        """Puts a new key before the old one into the file; a second time finds them there.

        Raises:
            StateError: there is no plain file, it is wrapped, or isn't this service's.
        """
        with self._files.locked():
            keys = await self._staged()
        return Rotated(kek_id(keys[-1]), kek_id(keys[0]))

    async def rotate(self) -> Rotated:
        """Has everything sealed under a new key, the staged one if there is one, and takes the old one away.

        Raises:
            StateError: as ``stage``; or something opens under no key of the file: then all is as before.
        """
        with self._files.locked():
            keys = await self._staged()
            new = Sealer(keys[0])
            async with self._store.write() as tx:
                count = await _reseal(tx, Sealer(*keys), new)
                row = {"old": kek_id(keys[-1]), "new": kek_id(keys[0]), "resealed": count}
                await tx.audit.append(
                    AuditRow(self._clock(), self._actor, "local", "kek-rotated", self._files.plain, row)
                )
            await asyncio.sleep(self._grace)
            async with self._store.write() as tx:  # nobody's transaction from before the file changed is left now
                if await _reseal(tx, new, new):
                    raise StateError("Something was sealed under the old key meanwhile.", hint="Type it once more.")
            self._files.replace_plain(keys[:1])
        return Rotated(kek_id(keys[-1]), kek_id(keys[0]), count)

    async def _staged(self) -> tuple[bytes, ...]:
        if self._files.read_wrapped() is not None:
            raise StateError(
                f"The key-encryption key is wrapped in {self._files.wrapped}.",
                hint="Unwrap it, rotate it, and wrap the new one: trustkit admin kek unwrap, rotate, wrap.",
            )
        keys = self._files.read_keys()
        if not keys:
            raise StateError(f"There is no key-encryption key at {self._files.plain}.", hint="Correct --kek-file.")
        async with self._store.read() as tx:
            await _require(tx, Sealer(*keys), self._files.plain)
        if len(keys) == 1:
            keys = (secrets.token_bytes(KEK_BYTES), *keys)
            self._files.replace_plain(keys)
            if self._files.read_keys() != keys:
                raise StateError(f"{self._files.plain} can't be read back.", hint="Look after the disk.")
        return keys


async def _require(tx: ResealingTransaction, sealer: Sealer, path: str) -> None:
    """Returns where everything opens; raises StateError before anything is changed."""
    try:
        stored = await tx.settings.get(SETTING)
        if stored is not None:
            reseal_ca(stored, sealer, sealer)
        for row in await tx.sealed.all():
            reopen(row.gun, row.key, sealer)
    except StateError as error:
        raise StateError(f"Not everything that is sealed here opens under {path}.", hint=error.message) from error


async def _reseal(tx: ResealingTransaction, under: Sealer, new: Sealer) -> int:
    """Seals anew whatever doesn't open under the new key; how much that was."""
    count = 0
    stored = await tx.settings.get(SETTING)
    if stored is not None and (changed := reseal_ca(stored, under, new)) is not None:
        await tx.settings.put(SETTING, changed)
        count += 1
    for row in await tx.sealed.all():
        opened = reopen(row.gun, row.key, under)
        if opened is not None and not opened.under(new):
            await tx.sealed.replace(row, opened.sealed(new))
            count += 1
    return count
