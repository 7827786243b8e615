"""``trustkit admin online-keys`` and ``recover``: keys, and databases that came from a backup."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trustkit.cli import output
from trustkit.cli.admin_service import Service, format_option, now, pass_service, show
from trustkit.cli.kek_options import kek_options, kek_source, online_key_options
from trustkit.cli.online_places import online_devices
from trustkit.core.names import Gun
from trustkit.core.roots import ONLINE
from trustkit.errors import StateError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from securesystemslib.signer import Key

    from trustkit.authority.onlinekeys import OnlineKeys
    from trustkit.authority.recover import Recovered
    from trustkit.authority.rotation import OnlineKey
    from trustkit.core.ports.forging import KeyForge
    from trustkit.core.ports.places import KeyPlaces
    from trustkit.core.ports.service import Store
    from trustkit.server.kek import KekSource


@click.group("online-keys")
def online_keys() -> None:
    """The snapshot and timestamp keys of collections, which this service holds."""


@online_keys.command("list")
@click.option("--uris", is_flag=True, help="With the URI of each key that is on a device; reads the sealed places.")
@kek_options
@format_option
@pass_service
def online_keys_list(
    service: Service,
    kek_file: Path | None,
    kek_uri: str | None,
    kek_pin_file: Path | None,
    layout: str,
    *,
    uris: bool,
) -> None:
    """List the keys in use, where and since when, and those that wait for a root to name them.

    \b
    Example:
      trustkit admin --data-dir /var/lib/trustkit online-keys list
    """
    from trustkit.authority.onlinekeys import OnlineKeys
    from trustkit.authority.rotation import Rotation
    from trustkit.authority.sealing import Sealer

    source = kek_source(kek_file, kek_uri, kek_pin_file)

    async def read(store: Store) -> list[OnlineKey]:
        keys = await opened_keys(service, store, source) if uris else OnlineKeys(Sealer(bytes(32)))
        return await Rotation(store, keys, clock=now).list(opened=uris)

    columns = ("gun", "role", "key", "place", "since", "pending", "pending_place")
    rows: list[dict[str, object]] = [
        {
            "gun": str(key.gun),
            "role": key.role,
            "key": key.key_id,
            "place": key.place,
            "since": key.since.isoformat(timespec="seconds"),
            "pending": key.pending,
            "pending_place": key.pending_place,
        }
        for key in service.run(read)
    ]
    show(layout, columns, rows)


@online_keys.command("rotate")
@click.argument("guns", metavar="GUN...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every collection of this service.")
@click.option("--role", type=click.Choice(ONLINE), help="Only this role's key; both otherwise.")
@click.option("--to-database", is_flag=True, help="Also in the place of keys that are on devices.")
@kek_options
@online_key_options
@pass_service
def online_keys_rotate(
    service: Service,
    guns: tuple[str, ...],
    role: str | None,
    kek_file: Path | None,
    kek_uri: str | None,
    kek_pin_file: Path | None,
    online_key_uri: str | None,
    online_key_pin_file: Path | None,
    *,
    everything: bool,
    to_database: bool,
) -> None:
    """Make new keys for GUN, which come into use when its publisher's next root names them.

    The service can't change its keys alone: the root that names them is signed by the publisher's root key. Until
    then it goes on with the old ones. Publishers do it with: trustkit key rotate GUN --role online

    \b
    Example:
      trustkit admin --data-dir /var/lib/trustkit online-keys rotate registry.example.com/app
    """
    from trustkit.authority.rotation import Rotation

    named, source = _chosen(guns, everything=everything), kek_source(kek_file, kek_uri, kek_pin_file)
    places, forge = online_devices(online_key_uri, online_key_pin_file, attended=True)
    if forge and to_database:
        raise UsageError("--to-database and --online-key-uri are two places.", hint="Give one of them.")

    async def stage(store: Store) -> Mapping[Gun, Mapping[str, Key]]:
        keys = await opened_keys(service, store, source, forge, places)
        rotation, roles = Rotation(store, keys, clock=now), [role] if role else ONLINE
        chosen = await _here(store, keys, named)
        how = {"back": to_database, "spare": named is None}
        return await rotation.stage_all(chosen, roles, actor=service.actor, source="local", **how)

    for gun, made in service.run(stage).items():
        for name, key in sorted(made.items()):
            output.data(f"{gun}: new {name} key {key.keyid} waits for a root")
        if not made:
            output.note(f"{gun}: no new keys, since some wait for its next root already, or are on a device.")
        else:
            them = "it" if len(made) == 1 else "them"
            output.note(
                f"Its publisher takes {them} into use with: trustkit key rotate {gun} --role {role or 'online'}"
            )


@click.command("recover")
@click.argument("guns", metavar="[GUN...]", nargs=-1)
@click.option("--jump", metavar="N", type=int, default=1000, show_default=True, help="How many versions ahead.")
@kek_options
@online_key_options
@pass_service
@click.pass_context
def recover(
    click_context: click.Context,
    service: Service,
    guns: tuple[str, ...],
    jump: int,
    kek_file: Path | None,
    kek_uri: str | None,
    kek_pin_file: Path | None,
    online_key_uri: str | None,
    online_key_pin_file: Path | None,
) -> None:
    """Go on after the database came from a backup: past every version that may have been served.

    Signs the snapshot and timestamp of every collection, or of each GUN, that many versions ahead, and lets each
    other role jump as far once, in its next publish. Take a number that is larger than the publishes and renewals
    since the backup. Consumers then go on by themselves where nothing was published since; where something was, its
    publisher runs: trustkit recover GUN

    \b
    Example:
      trustkit admin --data-dir /var/lib/trustkit recover --jump 1000
    """
    from trustkit.authority.recover import Recovery
    from trustkit.cli.status import FAILED
    from trustkit.config import lifetimes

    named, source = [Gun.parse(gun) for gun in guns] or None, kek_source(kek_file, kek_uri, kek_pin_file)
    places, forge = online_devices(online_key_uri, online_key_pin_file, attended=True)

    async def run(store: Store) -> Recovered:
        keys = await opened_keys(service, store, source, forge, places)
        return await Recovery(store, keys, lifetimes(os.environ).value, jump, service.actor, now()).run(named)

    done = service.run(run)
    for gun, versions in done.versions.items():
        output.data(f"{gun}: snapshot {versions['snapshot']}, timestamp {versions['timestamp']}")
    for gun, reason in done.failed.items():
        output.note(f"trustkit: {gun}: {reason}")
    if done.versions:
        output.note("Publishers of tags that were signed since the backup put them back with: trustkit recover GUN")
    if done.failed:
        click_context.exit(FAILED)


async def _here(store: Store, keys: OnlineKeys, named: Sequence[Gun] | None) -> list[Gun]:
    """The chosen collections without those that only a running service with a signer can make keys for.

    Raises:
        StateError: one of them was named.
    """
    async with store.read() as tx:
        here = await keys.here(tx)
        records = await tx.collections.list()
    away = [record.gun for record in records if record.gun not in here]
    opened = [record.gun for record in records if record.gun in here and record.closed is None]
    said = "has its online keys at a separate signer, which only the running service talks to"
    them = "Its publisher makes new ones with: trustkit key rotate GUN --role online"
    if strange := [gun for gun in named or () if gun in away]:
        raise StateError(
            f"{strange[0]} {said}.", hint=f"{them}. TRUSTKIT_ONLINE_KEY_DAYS has the service make them on a schedule."
        )
    if named is None:
        for gun in away:
            output.note(f"{gun} {said}. {them.replace('GUN', str(gun))}")
    return list(named) if named is not None else opened


def _chosen(guns: Sequence[str], *, everything: bool) -> list[Gun] | None:
    if bool(guns) == everything:
        raise UsageError("Which collections?", hint="Name one or more, or give --all.")
    return None if everything else [Gun.parse(gun) for gun in guns]


async def opened_keys(
    service: Service,
    store: Store,
    source: KekSource,
    forge: KeyForge | None = None,
    places: KeyPlaces | None = None,
) -> OnlineKeys:
    """The online keys, under the key-encryption key, which is never made here.

    Raises:
        StateError: there is none, or what is sealed here doesn't open under it.  KeyProblem: its device.
    """
    from trustkit.authority.onlinekeys import OnlineKeys
    from trustkit.authority.tokenkeys import TokenKeys

    sealer = source.of(service.data_dir).sealer(create=False)
    await TokenKeys.require(store, sealer)
    if forge:
        forge.check()
    return OnlineKeys(sealer, forge=forge, places=places)
