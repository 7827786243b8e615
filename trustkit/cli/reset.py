"""``trustkit reset``."""

from __future__ import annotations

import click

from trustkit.cli.context import Context
from trustkit.cli.output import data, note
from trustkit.core.names import Gun
from trustkit.errors import UsageError


@click.command("reset")
@click.argument("gun", metavar="GUN")
@click.option("--yes-reset", "confirmed", metavar="GUN", help="Confirm without a terminal: the same name again.")
@click.pass_obj
def command(ctx: Context, gun: str, confirmed: str | None) -> None:
    """End the collection of GUN, whose root key is lost, so that it can begin anew under another root.

    Takes the role Owner on the repository. Nothing of GUN is trusted from then on, by anybody, until somebody who may
    publish founds it anew; and whoever pinned the old root refuses that one until they pin it. Where the root key is
    not lost, use trustkit root rotate: everybody follows that.

    \b
    Example:
      trustkit reset registry.example.com/app
    """
    named = Gun.parse(gun)
    if confirmed is None:
        confirmed = _typed(ctx, named)
    if confirmed != str(named):
        raise UsageError(f"What was confirmed is not {named}; nothing was reset.")
    versions = ctx.service.reset(named)
    data(f"{named}: reset at root version {versions.get('root', 0)}")
    note(f"Nothing of {named} is served until it is founded anew. Who may publish does that:")
    note(f"  trustkit pin remove {named}    # where the old root is pinned")
    note(f"  trustkit init {named}          # or sign a tag")
    note("Consumers pinned to the old root refuse the new one, and have to get its key over another channel:")
    note(f"  trustkit pin add {named} --root-key ID --replace")


def _typed(ctx: Context, gun: Gun) -> str:
    if not ctx.interactive:
        raise UsageError("Nobody is there to confirm a reset.", hint=f"Give --yes-reset {gun}.")
    note(f"This ends the collection of {gun}: no tag of it stays trusted, and every consumer has to pin a new root.")
    typed: str = click.prompt("Type its whole name to go on", err=True)
    return typed.strip()
