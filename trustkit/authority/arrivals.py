"""Collections that come from another trust server: by their operator's consent, once each.

Such an upload brings what no other may: former roots, and files that begin with any version.  Whoever may sign in a
repository could else claim it with a history of their own making, so an operator says for which name it is expected.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from trustkit.core.names import Gun
from trustkit.core.ports.service import AuditRow, CollectionRecord, Transaction
from trustkit.errors import Conflict, ConsentMissing, NotFound

DAYS = 7
"""How long a consent holds: long enough for whoever has the root key to come by."""


async def allow(tx: Transaction, gun: Gun, actor: str, now: datetime) -> datetime:
    """Lets a collection come from another server, once; ``tx`` is a write of the GUN.

    Returns:
        Until when.

    Raises:
        Conflict: it has a collection, or its repository has one under another name.
    """
    there = await tx.collections.of_repository(gun.repository)
    if there is not None and (there.closed is None or there.gun != gun):
        raise Conflict(
            f"The repository {gun.repository} has the collection {there.gun}; none can come in its place.",
            gun=str(there.gun),
        )
    until = now + timedelta(days=DAYS)
    await tx.upkeep.set_arrival(gun, until)
    detail = {"until": until.isoformat(timespec="seconds")}
    await tx.audit.append(AuditRow(now, actor, "local", "migration-allowed", str(gun), detail))
    return until


async def withdraw(tx: Transaction, gun: Gun, actor: str, now: datetime) -> None:
    """Takes a consent back; raises NotFound where there is none, or it was used."""
    if await tx.upkeep.arrival(gun) is None:
        raise NotFound(f"No migration of {gun} was allowed, or it was used.")
    await tx.upkeep.set_arrival(gun, None)
    await tx.audit.append(AuditRow(now, actor, "local", "migration-withdrawn", str(gun), {}))


async def allowed(tx: Transaction, now: datetime) -> Mapping[Gun, datetime]:
    """By GUN until when a consent holds that wasn't used yet."""
    return {gun: until for gun, until in (await tx.upkeep.arrivals()).items() if until > now}


async def use(tx: Transaction, gun: Gun, there: CollectionRecord | None, now: datetime) -> None:
    """Uses a consent up, in the transaction that stores what it was given for; where that fails, it is left.

    Raises:
        Conflict: the collection exists, so nothing can come in its place.
        ConsentMissing: there is no consent for this GUN, or no longer.
    """
    if there is not None and there.closed is None:
        raise Conflict(
            f"{gun} has a collection here already, so none can come in its place with its former roots.",
            hint="Look what is there: trustkit inspect. An Owner of the repository can end it: trustkit reset.",
        )
    until = await tx.upkeep.arrival(gun)
    if until is None or until <= now:
        lapsed = f"; the last consent ended on {until:%Y-%m-%d}" if until else ""
        raise ConsentMissing(
            f"The operator of this service has not allowed {gun} to come from another trust server{lapsed}.",
            hint=f"Operators allow it once: trustkit admin allow-migration {gun}",
            gun=str(gun),
        )
    await tx.upkeep.set_arrival(gun, None)
