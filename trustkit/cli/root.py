"""``trustkit root``: the keys that everything else of a collection hangs on."""

from __future__ import annotations

from pathlib import Path

import click

from trustkit.cli.ceremony import propose, publish, sign
from trustkit.cli.context import Context
from trustkit.cli.options import format_option, passphrase_options
from trustkit.cli.output import data, data_json, table
from trustkit.cli.publickeys import public_key
from trustkit.cli.rotating import after, chosen_guns, each, key_here, rotate_with, rotation_options


@click.group("root", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Show and change who may change everything: root keys, their number, repository keys.

    Where the root key is on this machine, rotate does it in one step. Where it is offline or in several hands,
    propose writes a ceremony file, which each holder signs without a network, and publish takes it back.
    """


for each_command in (propose, sign, publish):
    command.add_command(each_command)


@command.command("show")
@click.argument("gun", metavar="GUN")
@format_option
@click.pass_obj
def show(ctx: Context, gun: str, output: str) -> None:
    """Show the root of GUN, verified against its pin: its keys, who of them signed it, thresholds, expiry.

    \b
    Example:
      trustkit root show registry.example.com/app
    """
    from trustkit.client.roots import root_shown
    from trustkit.core.names import Gun

    shown = root_shown(ctx.trust().current(Gun.parse(gun), ctx.now()).files["root"])
    if output == "json":
        data_json({"gun": gun, **shown.document()})
        return
    data(f"{gun}: root version {shown.version}, expires {shown.expires:%Y-%m-%d %H:%M} UTC")
    data(f"sha256 {shown.digest}")
    rows = [
        (role.name, f"{role.threshold} of {len(role.keys)}", key.id, key.algorithm, "yes" if key.signed else "-")
        for role in shown.roles
        for key in role.keys
    ]
    table(("ROLE", "NEEDS", "KEY", "ALGORITHM", "SIGNED THIS ROOT"), rows)


@command.command("rotate")
@click.argument("guns", metavar="GUN...", nargs=-1)
@click.option("--key", metavar="ID", help="The new key, which is here; one is made otherwise.")
@click.option(
    "--public",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The new key whose private half is elsewhere, PEM; the keys here have to suffice without it.",
)
@rotation_options
@passphrase_options
@click.pass_context
def rotate(
    click_context: click.Context,
    guns: tuple[str, ...],
    key: str | None,
    public: Path | None,
    old: str | None,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
    *,
    everything: bool,
    yes: bool,
) -> None:
    """Put another root key in the place of the one that each GUN has.

    The new root is signed by the old key and the new one, so whoever trusts now follows. Prints what new consumers
    pin. The old key stays here for other collections; name them all, or use --all, to have them change together.

    \b
    Examples:
      trustkit root rotate registry.example.com/app
      trustkit root rotate registry.example.com/app --all
    """
    ctx: Context = click_context.obj
    named = chosen_guns(ctx, guns, everything=everything)
    new = public_key(public) if public else key_here(ctx, key, "root")
    rotation, agree = rotate_with(ctx, passphrase_file, passphrase_fd), ctx.agreeing(yes=yes)
    after(each(click_context, named, lambda gun: rotation.root(gun, new=new, old=old, agree=agree)))
