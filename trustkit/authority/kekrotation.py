"""A new key-encryption key, while services go on (TRUST 8.5).

For the time of the change the file has both, the new one first.  A service seals under the first and opens under
any; it looks at the file again before it seals, and where something doesn't open.  So whatever is sealed after the
file has changed is sealed under the new one; what was sealed before is sealed anew in one transaction of each
database, during which nobody writes there.  Only when everything opens under the new one alone does the old one leave
the file: whenever this is cut short, the file opens all that there is.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from trustkit.authority.sealedplaces import SealedPlace
from trustkit.authority.sealing import KEK_BYTES, Sealer
from trustkit.authority.wrappedkek import kek_id
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
    """Changes the key-encryption key of one data folder.

    Args:
        places: everything that is sealed under it: a service's database, a separate signer's, or both.
        files: of the key-encryption key, which lies in the plain one.
        actor: who administers it.
        grace: seconds until the last look, for a key that a service has sealed and not stored yet.
    """

    def __init__(
        self,
        places: Sequence[SealedPlace],
        files: KekFiles,
        *,
        actor: str,
        clock: Callable[[], datetime],
        grace: float = GRACE_SECONDS,
    ) -> None:
        self._places, self._files, self._actor, self._clock = tuple(places), files, actor, clock
        self._grace = grace

    async def stage(self) -> Rotated:
        """Puts a new key before the old one into the file; a second time finds them there.

        Raises:
            StateError: there is no plain file, it is wrapped, or isn't that of what is sealed.
        """
        with self._files.locked():
            keys = await self._staged()
        return Rotated(kek_id(keys[-1]), kek_id(keys[0]))

    async def rotate(self) -> Rotated:
        """Has everything sealed under a new key, the staged one if there is one, and takes the old one away.

        Raises:
            StateError: as ``stage``; or something opens under no key of the file: then both keys stay in it.
        """
        with self._files.locked():
            keys = await self._staged()
            new = Sealer(keys[0])

            def row(count: int) -> AuditRow:
                detail = {"old": kek_id(keys[-1]), "new": kek_id(keys[0]), "resealed": count}
                return AuditRow(self._clock(), self._actor, "local", "kek-rotated", self._files.plain, detail)

            count = sum([await place.reseal(Sealer(*keys), new, row) for place in self._places])
            await asyncio.sleep(self._grace)
            for place in self._places:  # nobody's transaction from before the file changed is left now
                if await place.reseal(new, new):
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
        await self._require(Sealer(*keys))
        if len(keys) == 1:
            keys = (secrets.token_bytes(KEK_BYTES), *keys)
            self._files.replace_plain(keys)
            if self._files.read_keys() != keys:
                raise StateError(f"{self._files.plain} can't be read back.", hint="Look after the disk.")
        return keys

    async def _require(self, sealer: Sealer) -> None:
        """Returns where everything opens; raises StateError before anything is changed."""
        try:
            for place in self._places:
                await place.require(sealer)
        except StateError as error:
            raise StateError(
                f"Not everything that is sealed here opens under {self._files.plain}.", hint=error.message
            ) from error
