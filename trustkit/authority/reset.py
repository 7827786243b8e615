"""An Owner ends a collection, so that it can begin anew under another root (TRUST 3.5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from trustkit.authority.access import require
from trustkit.authority.former import end_former
from trustkit.authority.onlinekeys import OnlineKeys
from trustkit.authority.publish import Requester
from trustkit.authority.settings import require_content_trust
from trustkit.core.access import Operation
from trustkit.core.names import Gun
from trustkit.core.ports.changefeed import DELETION, Change
from trustkit.core.ports.service import DOCKER, AuditRow, Store
from trustkit.errors import Conflict, Malformed, NoCollection


class Resetting:
    """The use case.

    Args:
        changed: called after a commit with the GUN whose generation moved.
    """

    def __init__(
        self,
        store: Store,
        keys: OnlineKeys,
        *,
        clock: Callable[[], datetime],
        changed: Callable[[Gun], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._keys = keys
        self._clock = clock
        self._changed = changed

    async def reset(self, gun: Gun, who: Requester, *, confirmed: str, why: str = "reset") -> Mapping[str, int]:
        """Closes the collection: nothing of it is served until somebody who may publish founds it anew.

        Its files and versions stay, so that none is used twice; its online keys are replaced, so that what they
        signed counts for no root that follows.

        Args:
            confirmed: the GUN once more, as whoever asks for it wrote it.
            why: ``reset``, or ``deleted`` where nothing is meant to follow.

        Returns:
            The last version of each role.

        Raises:
            RoleMissing: who asks is no Owner of the repository.
            Malformed: what was confirmed is another name.
            NoCollection: there is none.
            Conflict: it is closed already.
            TrustDisabled: content trust is off.
            StateError: its online keys are at a separate signer.
        """
        async with self._store.write(gun) as tx:
            await require_content_trust(tx)
            await require(tx, who.principal, gun.repository, Operation.RESET_COLLECTION)
            if confirmed != str(gun):
                raise Malformed(f"What was confirmed is not {gun}; nothing was reset.")
            record = await tx.collections.get(gun)
            if record is None:
                raise NoCollection(f"Nothing is signed under {gun}.", gun=str(gun))
            if record.closed is not None:
                raise Conflict(f"{gun} was {record.closed} already, and waits for a new root.", closed=record.closed)
            now = self._clock()
            last = {role: file.version for role, file in (await tx.collections.current(gun)).items()}
            made = await self._keys.replace(tx, gun, now)
            await tx.upkeep.set_jumps(gun, {})
            await tx.upkeep.close(gun, why)
            await end_former(tx, self._keys, gun, f"the collection was {why}", now)
            if record.format == DOCKER:
                await tx.changefeed.append(Change(now, gun, 0, "", DELETION))
            detail = {"versions": last, "online_keys": {role: key.keyid for role, key in made.items()}}
            await tx.audit.append(
                AuditRow(now, str(who.principal), who.source, f"collection-{why}", str(gun), detail)
            )
        self._changed(gun)
        return last
