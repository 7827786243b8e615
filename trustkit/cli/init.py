"""``trustkit init``."""

from __future__ import annotations

from pathlib import Path

import click

from trustkit.cli.context import Context
from trustkit.cli.options import passphrase_options, root_key_option
from trustkit.cli.output import data, note
from trustkit.core.names import Gun


@click.command("init")
@click.argument("gun", metavar="GUN")
@root_key_option
@passphrase_options
@click.pass_obj
def command(
    ctx: Context, gun: str, root_key: str | None, passphrase_file: Path | None, passphrase_fd: int | None
) -> None:
    """Found the collection of GUN, a HOST[:PORT]/repository, without signing a tag.

    Prints the ids of its root keys: what consumers pin.
    """
    view = ctx.signing(passphrase_file, passphrase_fd).init(Gun.parse(gun), root_key=root_key)
    note(f"Founded {gun}. Consumers pin it with: trustkit pin add {gun} --root-key {view.root_keys[0]}")
    for key_id in view.root_keys:
        data(key_id)
