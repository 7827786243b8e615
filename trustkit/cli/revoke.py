"""``trustkit revoke``."""

from __future__ import annotations

from pathlib import Path

import click

from trustkit.cli.context import Context
from trustkit.cli.options import passphrase_options, trust_dir_option
from trustkit.cli.output import note
from trustkit.cli.publishing import signing_with
from trustkit.core.names import ImageRef


@click.command("revoke")
@click.argument("refs", metavar="REF...", nargs=-1, required=True)
@trust_dir_option
@passphrase_options
@click.pass_obj
def command(
    ctx: Context,
    refs: tuple[str, ...],
    trust_dir: Path | None,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
) -> None:
    """Withdraw the signature of each REF, a HOST[:PORT]/repository:TAG.

    The image stays in the registry. Its digest, and those that it superseded under this tag, are refused from now on
    wherever signatures are required, unless another signed tag has them.

    \b
    Example:
      trustkit revoke registry.example.com/app:v1
    """
    signing = signing_with(ctx, passphrase_file, passphrase_fd, trust_dir=trust_dir)
    for ref in signing.revoke([ImageRef.parse(ref) for ref in refs]):
        note(f"Revoked {ref}.")
