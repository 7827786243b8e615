"""``trustkit init``."""

from __future__ import annotations

from pathlib import Path

import click

from trustkit.cli.context import Context
from trustkit.cli.options import passphrase_options, root_key_option, trust_dir_option
from trustkit.cli.output import data, note
from trustkit.cli.publishing import signing_with
from trustkit.core.names import Gun


@click.command("init")
@click.argument("gun", metavar="GUN")
@click.option(
    "--format",
    "wanted",
    type=click.Choice(["tuf", "docker"]),
    help="The format to make it in. [default: what the service's default-format says]",
)
@root_key_option
@trust_dir_option
@passphrase_options
@click.pass_obj
def command(
    ctx: Context,
    gun: str,
    wanted: str | None,
    root_key: str | None,
    trust_dir: Path | None,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
) -> None:
    """Found the collection of GUN, a HOST[:PORT]/repository, without signing a tag.

    Prints the ids of its root keys: what consumers pin. With --format docker it is one that docker and notary sign,
    too, and that is what docker trust inspect shows as its root key.

    \b
    Examples:
      trustkit init registry.example.com/app
      trustkit init registry.example.com/app --format docker
    """
    signing = signing_with(ctx, passphrase_file, passphrase_fd, trust_dir=trust_dir, wanted=wanted)
    view = signing.init(Gun.parse(gun), root_key=root_key)
    how = " --format docker" if view.format == "docker" else ""
    note(f"Founded {gun}. Consumers pin it with: trustkit pin add {gun}{how} --root-key {view.root_keys[0]}")
    for key_id in view.root_keys:
        data(key_id)
