"""An Owner ends a collection, so that it can begin anew under another root (TRUST 3.5)."""

from __future__ import annotations

from collections.abc import Mapping

from trustkit.authority.access import require
from trustkit.authority.former import end_former
from trustkit.authority.means import Means
from trustkit.authority.publish import Requester
from trustkit.authority.settings import require_content_trust
from trustkit.core.access import Operation
from trustkit.core.names import Gun
from trustkit.core.ports.changefeed import DELETION, Change
from trustkit.core.ports.service import DOCKER, AuditRow
from trustkit.errors import Conflict, Malformed, NoCollection


class Resetting:
    """The use case."""

    def __init__(self, means: Means) -> None:
        self._means = means

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
        async with self._means.store.write(gun) as tx:
            await require_content_trust(tx)
            await require(tx, who.principal, gun.repository, Operation.RESET_COLLECTION)
            if confirmed != str(gun):
                raise Malformed(f"What was confirmed is not {gun}; nothing was reset.")
            record = await tx.collections.get(gun)
            if record is None:
                raise NoCollection(f"Nothing is signed under {gun}.", gun=str(gun))
            if record.closed is not None:
                raise Conflict(f"{gun} was {record.closed} already, and waits for a new root.", closed=record.closed)
            now = self._means.clock()
            last = {role: file.version for role, file in (await tx.collections.current(gun)).items()}
            made = await self._means.keys.replace(tx, gun, now)
            await tx.upkeep.set_jumps(gun, {})
            await tx.upkeep.close(gun, why)
            await end_former(tx, self._means.keys, gun, f"the collection was {why}", now)
            if record.format == DOCKER:
                await tx.changefeed.append(Change(now, gun, 0, "", DELETION))
            detail = {"versions": last, "online_keys": {role: key.keyid for role, key in made.items()}}
            await tx.audit.append(
                AuditRow(now, str(who.principal), who.source, f"collection-{why}", str(gun), detail)
            )
        self._means.changed(gun)
        return last
