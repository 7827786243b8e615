"""``trustkit key backup`` and ``trustkit key restore``: keys and pins in one encrypted file, and back."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trustkit.cli import output
from trustkit.cli.context import Context
from trustkit.cli.keyrows import key_row

if TYPE_CHECKING:
    from trustkit.core.ports.keys import KeyInfo
    from trustkit.core.ports.remote import Pin
    from trustkit.keys.backup import Backup
    from trustkit.keys.passphrase import PassphraseSource

FILE = click.Path(path_type=Path, dir_okay=False)
_ID = re.compile(r"[0-9a-f]{8,64}\Z")
_file_option = click.option(
    "--passphrase-file", type=FILE, metavar="FILE", help="Read the backup's passphrase from FILE."
)
_fd_option = click.option(
    "--passphrase-fd", type=int, metavar="N", help="Read the backup's passphrase from descriptor N."
)


@click.command("backup")
@click.option(
    "--to", "target", type=FILE, required=True, metavar="FILE", help="The file to make, never over another."
)
@click.argument("key_ids", metavar="[ID]...", nargs=-1)
@_file_option
@_fd_option
@click.pass_obj
def backup(
    ctx: Context, target: Path, key_ids: tuple[str, ...], passphrase_file: Path | None, passphrase_fd: int | None
) -> None:
    """Back up all keys here, or those with these IDs, and the pins, in one encrypted file.

    The backup has a passphrase of its own, and each key in it keeps its own: to sign again takes both. The file is
    read back and opened before it counts as a backup. Prints the ids of the keys in it.

    \b
    Example:
      trustkit key backup --to /media/usb/keys.backup
    """
    from trustkit.errors import UsageError
    from trustkit.keys.backup import Backup, collect, write

    store = ctx.key_store()
    chosen = {store.resolve(key_id).id for key_id in key_ids} or None
    files, pins = collect(ctx.home.keys, chosen), ctx.home.pins.document()
    if not files and pins is None:
        raise UsageError(f"There is nothing to back up in {ctx.home.path}: no key and no pin.")
    made = Backup(ctx.now().replace(microsecond=0), files, pins)
    write(target, made, _source(ctx, passphrase_file, passphrase_fd))
    ctx.home.backups.mark([info.id for info in made.keys], made.created)
    for info in made.keys:
        output.note(f"  {_describe(info)}")
        output.data(info.id)
    output.note(f"Backed up {_count(len(files), 'key')} and {_count(len(_pins(made)), 'pin')} to {target}.")
    output.note("It was read back and opened. To sign after a restore takes the keys' own passphrases, too.")


@click.command("restore")
@click.option("--from", "source", type=FILE, required=True, metavar="FILE", help="The backup.")
@click.option("--list", "listing", is_flag=True, help="Show what is in it; restore nothing.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", help="Of --list.")
@click.argument("key_ids", metavar="[ID]...", nargs=-1)
@_file_option
@_fd_option
@click.pass_obj
def restore(
    ctx: Context,
    source: Path,
    key_ids: tuple[str, ...],
    form: str,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
    *,
    listing: bool,
) -> None:
    """Restore the keys and pins of a backup, or the keys with these IDs alone, without pins.

    A key that is here already, the same, is left as it is; where another file has its name, nothing is restored. A
    pin is added only where its pattern isn't pinned here. Prints the ids of the keys that were not here.

    \b
    Example:
      trustkit key restore --from /media/usb/keys.backup
    """
    from trustkit.errors import UsageError
    from trustkit.keys.backup import plan, read
    from trustkit.keys.private import ensure_folder, placing

    if wrong := [key_id for key_id in key_ids if not _ID.match(key_id)]:
        raise UsageError(f"{wrong[0][:70]!r} is no key id.", hint="Give at least its first 8 hex digits.")
    whole = read(source, _source(ctx, passphrase_file, passphrase_fd))
    wanted = whole.only(key_ids) if key_ids else whole
    pins = _pins(wanted)
    if listing:
        _show(wanted, pins, form)
        return
    ensure_folder(ctx.home.keys)
    planned = plan(wanted, ctx.home.keys)
    with placing(planned.new):
        merged = ctx.home.pins.merge(pins)
    ctx.home.backups.mark([info.id for info in wanted.keys], wanted.created)
    _tell(wanted.keys, planned.same, merged)


def _tell(keys: list[KeyInfo], same: frozenset[str], merged: dict[Pin, bool]) -> None:
    """What became of each key and pin: one line each."""
    for info in keys:
        if info.id in same:
            output.note(f"Here already: {_describe(info)}")
        else:
            output.note(f"Restored {_describe(info)}")
            output.data(info.id)
    for pin, here in merged.items():
        output.note(
            f"{pin.pattern} is pinned as in the backup."
            if here
            else f"{pin.pattern} is pinned otherwise here, and stays so; see trustkit pin list."
        )


def _show(backup: Backup, pins: list[Pin], form: str) -> None:
    if form == "json":
        keys = [key_row(info) for info in backup.keys]
        output.data_json(
            {"created": _time(backup.created), "keys": keys, "pins": [pin.pattern for pin in pins]},
        )
        return
    output.note(f"Made {_time(backup.created)}, with {_count(len(pins), 'pin')}.")
    rows = [(info.id, str(info.role), str(info.gun or info.name or "-")) for info in backup.keys]
    output.table(("ID", "ROLE", "GUN OR NAME"), rows)
    for pin in pins:
        output.note(f"pin {pin.pattern}")


def _pins(backup: Backup) -> list[Pin]:
    from trustkit.home.pins import read_document

    return read_document(backup.pins, "the backup") if backup.pins is not None else []


def _source(ctx: Context, file: Path | None, descriptor: int | None) -> PassphraseSource:
    from trustkit.keys.passphrase import PassphraseSource

    return PassphraseSource(environ=ctx.environ, file=file, descriptor=descriptor, interactive=ctx.interactive)


def _describe(info: KeyInfo) -> str:
    from trustkit.keys.subjects import KeySubject

    return str(KeySubject.of(info))


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
