"""``trustkit admin online-keys`` and ``trustkit admin recover``: keys of the service, and a restored database."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trustkit.cli import output
from trustkit.cli.admin_service import Service, format_option, now, pass_service, show
from trustkit.core.names import Gun
from trustkit.core.roots import ONLINE
from trustkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from securesystemslib.signer import Key

    from trustkit.authority.onlinekeys import OnlineKeys
    from trustkit.authority.recover import Recovered
    from trustkit.authority.rotation import OnlineKey
    from trustkit.core.ports.service import Store

_kek_file = click.option(
    "--kek-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The key-encryption key that the service uses. [DATA_DIR/kek]",
)


@click.group("online-keys")
def online_keys() -> None:
    """The snapshot and timestamp keys of collections, which this service holds."""


@online_keys.command("list")
@format_option
@pass_service
def online_keys_list(service: Service, layout: str) -> None:
    """List the keys in use, since when, and those that wait for a root to name them."""
    from trustkit.authority.rotation import Rotation

    async def read(store: Store) -> list[OnlineKey]:
        return await Rotation(store, _keys(service, None, needed=False), clock=now).list()

    columns = ("gun", "role", "key", "since", "pending")
    rows: list[dict[str, object]] = [
        {
            "gun": str(key.gun),
            "role": key.role,
            "key": key.key_id,
            "since": key.since.isoformat(timespec="seconds"),
            "pending": key.pending,
        }
        for key in service.run(read)
    ]
    show(layout, columns, rows)


@online_keys.command("rotate")
@click.argument("guns", metavar="GUN...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every collection of this service.")
@click.option("--role", type=click.Choice(ONLINE), help="Only this role's key; both otherwise.")
@_kek_file
@pass_service
def online_keys_rotate(
    service: Service, guns: tuple[str, ...], role: str | None, kek_file: Path | None, *, everything: bool
) -> None:
    """Make new keys for GUN, which come into use when its publisher's next root names them.

    The service can't change its keys alone: the root that names them is signed by the publisher's root key. Until
    then it goes on with the old ones. Publishers do it with: trustkit key rotate GUN --role online
    """
    from trustkit.authority.rotation import Rotation

    named = _chosen(guns, everything=everything)

    async def stage(store: Store) -> Mapping[Gun, Mapping[str, Key]]:
        rotation = Rotation(store, _keys(service, kek_file), clock=now)
        return await rotation.stage_all(named, [role] if role else ONLINE, actor=service.actor, source="local")

    for gun, made in service.run(stage).items():
        for name, key in sorted(made.items()):
            output.data(f"{gun}: new {name} key {key.keyid} waits for a root")
        if not made:
            output.note(f"{gun}: keys wait for its next root already.")
        else:
            them = "it" if len(made) == 1 else "them"
            output.note(
                f"Its publisher takes {them} into use with: trustkit key rotate {gun} --role {role or 'online'}"
            )


@click.command("recover")
@click.argument("guns", metavar="[GUN...]", nargs=-1)
@click.option("--jump", metavar="N", type=int, default=1000, show_default=True, help="How many versions ahead.")
@_kek_file
@pass_service
@click.pass_context
def recover(
    click_context: click.Context, service: Service, guns: tuple[str, ...], jump: int, kek_file: Path | None
) -> None:
    """Go on after the database came from a backup: past every version that may have been served.

    Signs the snapshot and timestamp of every collection, or of each GUN, that many versions ahead, and lets each
    other role jump as far once, in its next publish. Take a number that is larger than the publishes and renewals
    since the backup. Consumers then go on by themselves where nothing was published since; where something was, its
    publisher runs: trustkit recover GUN
    """
    from trustkit.authority.recover import Recovery
    from trustkit.cli.status import FAILED
    from trustkit.config import lifetimes

    named = [Gun.parse(gun) for gun in guns] or None

    async def run(store: Store) -> Recovered:
        keys = _keys(service, kek_file)
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


def _chosen(guns: Sequence[str], *, everything: bool) -> list[Gun] | None:
    if bool(guns) == everything:
        raise UsageError("Which collections?", hint="Name one or more, or give --all.")
    return None if everything else [Gun.parse(gun) for gun in guns]


def _keys(service: Service, kek_file: Path | None, *, needed: bool = True) -> OnlineKeys:
    """The online keys; their private halves open only with the key-encryption key, which is never made here."""
    from trustkit.authority.onlinekeys import OnlineKeys
    from trustkit.authority.sealing import Sealer
    from trustkit.store.kek import load_kek

    kek = load_kek(kek_file or service.data_dir / "kek", create=False) if needed else bytes(32)
    return OnlineKeys(Sealer(kek))
