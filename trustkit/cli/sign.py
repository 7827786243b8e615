"""``trustkit sign``."""

from __future__ import annotations

from pathlib import Path

import click

from trustkit.cli.context import Context
from trustkit.cli.options import passphrase_options, root_key_option
from trustkit.cli.output import data
from trustkit.core.names import ImageRef


@click.command("sign")
@click.argument("refs", metavar="REF...", nargs=-1, required=True)
@root_key_option
@passphrase_options
@click.pass_obj
def command(
    ctx: Context, refs: tuple[str, ...], root_key: str | None, passphrase_file: Path | None, passphrase_fd: int | None
) -> None:
    """Sign what each REF points at, and publish it.

    REF is HOST[:PORT]/repository:TAG, or the same with @sha256:... to sign that digest whatever the tag points at.
    Any manifest can be signed: images, multi-platform indexes, Helm charts and other OCI artifacts. The first sign
    in a repository makes its collection, with a repository key of its own. Prints NAME:TAG@sha256:... for each.
    """
    signing = ctx.signing(passphrase_file, passphrase_fd)
    for signed in signing.sign([ImageRef.parse(ref) for ref in refs], root_key=root_key):
        data(str(signed))
