"""Who may publish to a collection: roles, names and formats, in the transaction that publishes (TRUST 8.1)."""

from __future__ import annotations

from dataclasses import dataclass

from trustkit.authority.access import require
from trustkit.authority.settings import require_content_trust
from trustkit.core.access import Operation
from trustkit.core.names import Gun, PrincipalName
from trustkit.core.ports.service import TUF, CollectionRecord, Transaction
from trustkit.errors import CollectionReset, NameTaken, WrongFormat


@dataclass(frozen=True, slots=True)
class Requester:
    """Who asks for a change, and from where; what the audit row says."""

    principal: PrincipalName
    source: str


async def admit_publisher(tx: Transaction, gun: Gun, who: Requester) -> CollectionRecord | None:
    """The collection that somebody may publish to; None where there is none yet.

    Raises:
        RoleMissing, NameTaken, TrustDisabled: as ``Publishing.online_keys``.
        WrongFormat: it is in format ``docker``.
    """
    await require_content_trust(tx)
    there = await rightful(tx, gun, who)
    require_tuf(there)
    return there


async def rightful(tx: Transaction, gun: Gun, who: Requester) -> CollectionRecord | None:
    """The collection of a repository that somebody may publish to, in whatever format; None where there is none yet.

    Raises:
        RoleMissing: with every role that publishing takes and ``who`` lacks.
        NameTaken: the repository's collection has another name.
    """
    await require(tx, who.principal, gun.repository, Operation.PUBLISH)
    there = await tx.collections.of_repository(gun.repository)
    if there is not None and there.gun != gun:
        raise NameTaken(
            f"The collection of repository {gun.repository} is named {there.gun}.",
            hint=f"Use that name: {there.gun}.",
            gun=str(there.gun),
        )
    return there


def require_tuf(record: CollectionRecord | None) -> None:
    """Raises WrongFormat for an open collection in format ``docker``."""
    if record is not None and record.closed is None and record.format != TUF:
        raise WrongFormat(
            f"{record.gun} is in format {record.format}, which is read and written under /_trust/tuf/.",
            hint="Use Notary's API, or a client that does.",
            gun=str(record.gun),
            format=record.format,
        )


def closed(record: CollectionRecord) -> CollectionReset:
    """What whoever asks for a closed collection is told."""
    done = "deleted" if record.closed == "deleted" else "reset"
    return CollectionReset(
        f"{record.gun} was {done} by an Owner of the repository, and nobody has signed anything under it since.",
        hint="Ask its Owner; whoever may publish founds it anew with trustkit init or trustkit sign.",
        gun=str(record.gun),
        closed=done,
    )
