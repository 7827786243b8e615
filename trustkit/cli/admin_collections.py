"""``trustkit admin collection``: which collections a service has, and what is left of converted ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from trustkit.cli import output
from trustkit.cli.admin_service import Service, format_option, now, pass_service, show

if TYPE_CHECKING:
    from datetime import datetime

    from trustkit.core.ports.former import FormerRecord
    from trustkit.core.ports.service import CollectionRecord, Store


@click.group()
def collection() -> None:
    """The collections of the service."""


@collection.command("list")
@format_option
@pass_service
def collection_list(service: Service, layout: str) -> None:
    """List collections, their formats, and until when docker reads what was signed before a conversion.

    \b
    Example:
      trustkit admin --data-dir /var/lib/trustkit collection list
    """

    async def read(store: Store) -> list[dict[str, object]]:
        async with store.read() as tx:
            former = {record.gun: record for record in await tx.former.list()}
            records = await tx.collections.list()
        return [_row(record, former.get(record.gun)) for record in records]

    rows = service.run(read)
    if layout == "json":
        output.data_json(rows)
        return
    moment = now()
    show(layout, ("collection", "format", "state", "docker side"), [_told(row, moment) for row in rows])


def _row(record: CollectionRecord, former: FormerRecord | None) -> dict[str, object]:
    return {
        "collection": str(record.gun),
        "format": record.format,
        "state": record.closed or "open",
        "created": record.created.isoformat(),
        "converted": former.converted.isoformat() if former else None,
        "docker_until": former.until.isoformat() if former else None,
        "docker_ended": former.ended.isoformat() if former and former.ended else None,
        "docker_reason": former.reason if former else "",
    }


def _told(row: dict[str, object], moment: datetime) -> dict[str, object]:
    until, ended = str(row["docker_until"] or ""), str(row["docker_ended"] or "")
    if ended:
        side = f"ended {ended[:10]}: {row['docker_reason']}"
    elif until:
        side = f"{'over since' if until <= moment.isoformat() else 'until'} {until[:10]}"
    else:
        side = ""
    return {**row, "docker side": side}
