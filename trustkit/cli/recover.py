"""``trustkit recover``."""

from __future__ import annotations

from pathlib import Path

import click

from trustkit.cli.context import Context
from trustkit.cli.options import passphrase_options
from trustkit.cli.output import data, note
from trustkit.core.names import Gun


@click.command("recover")
@click.argument("gun", metavar="GUN")
@click.option("--yes", "-y", is_flag=True, help="Don't ask.")
@passphrase_options
@click.pass_obj
def command(ctx: Context, gun: str, passphrase_file: Path | None, passphrase_fd: int | None, *, yes: bool) -> None:
    """Put back what the service lost of GUN: what was verified here last is signed and published once more.

    For a publisher, after the service's database came from a backup and its operator ran trustkit admin recover. Run
    it where the newest tags were signed or verified; consumers then go on.

    \b
    Example:
      trustkit recover registry.example.com/app
    """
    from trustkit.client.recover import PutBackLost
    from trustkit.config import lifetimes
    from trustkit.core.bins import prefix_of

    store = ctx.key_store(passphrase_file, passphrase_fd)
    put_back = PutBackLost(
        ctx.service, ctx.source, store, ctx.trust(), lifetimes=lifetimes(ctx.environ).value, clock=ctx.now
    )
    done = put_back(Gun.parse(gun), agree=ctx.agreeing(yes=yes))
    bins = {role for role in done.versions if prefix_of(role)}
    for role, version in sorted(done.versions.items()):
        if role not in bins:
            data(f"{gun}: {role} {version}")
    if bins:
        note(f"With them {len(bins)} hash bins were signed anew.")
    note(f"{gun} signs {len(done.view.targets)} tags.")
    for role in dict.fromkeys("what lies in hash bins" if prefix_of(role) else role for role in done.left):
        note(f"{role} is left as the backup has it; who has its key runs the same: trustkit recover {gun}")
