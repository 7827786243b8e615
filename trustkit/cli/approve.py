"""``trustkit approve``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from trustkit.cli.agree import show
from trustkit.cli.context import Context
from trustkit.cli.options import passphrase_options
from trustkit.cli.output import data, note
from trustkit.cli.publishing import approvals
from trustkit.core.names import Gun
from trustkit.errors import UsageError

if TYPE_CHECKING:
    from trustkit.core.difference import Difference


@click.command("approve")
@click.argument("gun", metavar="GUN")
@click.argument("identifier", metavar="ID")
@click.option("--yes", "-y", is_flag=True, help="Don't ask: what it changes was looked at.")
@passphrase_options
@click.pass_obj
def command(
    ctx: Context, gun: str, identifier: str, passphrase_file: Path | None, passphrase_fd: int | None, *, yes: bool
) -> None:
    """Sign proposal ID of GUN with the keys here, after showing what it changes of the current state.

    With the last signature that it takes it becomes current. Prints NAME:TAG@sha256:... for each tag that it signed.

    \b
    Example:
      trustkit approve registry.example.com/app 7f3a
    """

    changed: list[str] = []

    def agree(difference: Difference) -> None:
        changed.extend(f"{gun}:{tag.tag}@sha256:{tag.after}" for tag in difference.tags if tag.after)
        note(f"Proposal {identifier} of {gun}:")
        show(difference)
        if yes:
            return
        if not ctx.interactive:
            raise UsageError("Nobody is there to agree to it.", hint="Look at what it changes, then give --yes.")
        if not ctx.ask("Sign it"):
            raise click.Abort

    done = approvals(ctx, passphrase_file, passphrase_fd).approve(Gun.parse(gun), identifier, agree)
    if done.proposal is None:
        note(f"Proposal {identifier} is current now.")
        for line in changed:
            data(line)
