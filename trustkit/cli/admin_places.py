"""``trustkit admin online-keys use`` and ``drop``: an operator chooses where one online key is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trustkit.cli import output
from trustkit.cli.admin_service import SIGNER, Service, now, pass_service
from trustkit.cli.admin_upkeep import opened_keys
from trustkit.cli.kek_options import kek_options, kek_source
from trustkit.cli.online_places import online_places
from trustkit.core.names import Gun
from trustkit.core.roots import ONLINE
from trustkit.errors import StateError

if TYPE_CHECKING:
    from trustkit.authority.placing import Placed
    from trustkit.core.ports.service import Store


@click.command("use")
@click.argument("gun", metavar="GUN")
@click.argument("uri", metavar="URI")
@click.option("--role", type=click.Choice(ONLINE), required=True, help="Which key; each has a URI of its own.")
@click.option(
    "--online-key-pin-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file with the PIN of the token.",
)
@kek_options
@pass_service
def use(
    service: Service,
    gun: str,
    uri: str,
    role: str,
    online_key_pin_file: Path | None,
    kek_file: Path | None,
    kek_uri: str | None,
    kek_pin_file: Path | None,
) -> None:
    """Have the key at URI, on a token or in a key service, sign the snapshots or timestamps of GUN.

    It is there already, signs once for a trial, and then waits for the publisher's next root to name it. No other
    role and no other collection may have it. The running service needs what reaches it, and a token's PIN.

    \b
    Example:
      trustkit admin --data-dir DIR online-keys use registry.example.com/app 'pkcs11:object=app' --role timestamp
    """
    from trustkit.authority.placing import Placing

    named, source = Gun.parse(gun), kek_source(kek_file, kek_uri, kek_pin_file)
    places = online_places(online_key_pin_file, attended=True)
    _require_service(service)

    async def stage(store: Store) -> Placed:
        keys = await opened_keys(service, store, source)
        return await Placing(store, keys, actor=service.actor, clock=now).use(named, role, uri, places)

    try:
        placed = service.run(stage)
    finally:
        places.close()
    output.data(f"{named}: new {role} key {placed.key.keyid} waits for a root, at {placed.uri}")
    output.note(f"Its publisher takes it into use with: trustkit key rotate {named} --role {role}")


@click.command("drop")
@click.argument("gun", metavar="GUN")
@click.option("--role", type=click.Choice(ONLINE), help="Only what waits for this role; for both otherwise.")
@pass_service
def drop(service: Service, gun: str, role: str | None) -> None:
    """Take the keys away that wait for the next root of GUN. Those in use go on.

    What is on a device stays there.

    \b
    Example:
      trustkit admin --data-dir /var/lib/trustkit online-keys drop registry.example.com/app
    """
    from trustkit.authority.onlinekeys import OnlineKeys
    from trustkit.authority.placing import Placing
    from trustkit.authority.sealing import Sealer

    named = Gun.parse(gun)
    _require_service(service)

    async def dropped(store: Store) -> Mapping[str, str]:
        placing = Placing(store, OnlineKeys(Sealer(bytes(32))), actor=service.actor, clock=now)
        return await placing.drop(named, [role] if role else ONLINE)

    gone = service.run(dropped)
    for name, key_id in gone.items():
        output.data(f"{named}: {name} key {key_id} waits no more")
    if not gone:
        output.note(f"{named}: no key waits for its next root.")


def _require_service(service: Service) -> None:
    """Raises StateError in the folder of a separate signer, or where there is no service yet."""
    if (service.data_dir / SIGNER).exists() and not service.database.exists:
        raise StateError(
            f"{service.data_dir} is of a separate signer, which signs with keys that it made itself.",
            hint="It makes them on a token with: trustkit serve-signer --online-key-uri URI",
        )
    if not service.database.exists:
        raise StateError(f"There is no service in {service.data_dir}.", hint="Correct --data-dir.")
