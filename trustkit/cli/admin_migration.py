"""``trustkit admin allow-migration``: which collections may come from another trust server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from trustkit.cli import output
from trustkit.cli.admin_service import Service, format_option, now, pass_service, show
from trustkit.core.names import Gun
from trustkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from trustkit.core.ports.service import Store


@click.command("allow-migration")
@click.argument("guns", metavar="GUN...", nargs=-1)
@click.option("--withdraw", is_flag=True, help="Take a consent back that was not used yet.")
@click.option("--list", "listing", is_flag=True, help="List the consents that were not used yet.")
@format_option
@pass_service
def allow_migration(service: Service, guns: tuple[str, ...], layout: str, *, withdraw: bool, listing: bool) -> None:
    """Let the collection of each GUN come from another trust server, once, within a week.

    Its publisher brings it with: trustkit migrate from-notary. It may bring the roots that it had there, and begin
    with the versions that it has; the consent is used up with that publish.

    \b
    Example:
      trustkit admin --data-dir /var/lib/trustkit allow-migration registry.example.com/app
    """
    if listing == bool(guns):
        raise UsageError("Which collections?", hint="Name one or more, or give --list.")
    if listing:
        rows = service.run(_allowed).items()
        show(layout, ("gun", "until"), [{"gun": str(gun), "until": f"{at:%Y-%m-%dT%H:%M:%SZ}"} for gun, at in rows])
        return
    for named in [Gun.parse(gun) for gun in guns]:
        _consent(service, named, withdraw=withdraw)


async def _allowed(store: Store) -> Mapping[Gun, datetime]:
    from trustkit.authority.arrivals import allowed

    async with store.read() as tx:
        return await allowed(tx, now())


def _consent(service: Service, gun: Gun, *, withdraw: bool) -> None:
    from trustkit.authority import arrivals

    async def change(store: Store) -> datetime | None:
        async with store.write(gun) as tx:
            if not withdraw:
                return await arrivals.allow(tx, gun, service.actor, now())
            await arrivals.withdraw(tx, gun, service.actor, now())
            return None

    until = service.run(change, begins=not withdraw)
    if until is None:
        output.note(f"The migration of {gun} is allowed no more.")
    else:
        output.note(f"One migration of {gun} to this service is allowed until {until:%Y-%m-%d %H:%M} UTC.")
