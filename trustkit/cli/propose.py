"""``trustkit propose``."""

from __future__ import annotations

from pathlib import Path

import click

from trustkit.cli.context import Context
from trustkit.cli.options import passphrase_options
from trustkit.cli.publishing import signing_with
from trustkit.client.outcome import Leave
from trustkit.client.resolve import Resolved, Unresolved
from trustkit.core.names import ImageRef


@click.command("propose")
@click.argument("refs", metavar="REF...", nargs=-1, required=True)
@click.option("--recursive", is_flag=True, help="As trustkit sign --recursive.")
@passphrase_options
@click.pass_obj
def command(
    ctx: Context, refs: tuple[str, ...], passphrase_file: Path | None, passphrase_fd: int | None, *, recursive: bool
) -> None:
    """Sign what each REF points at as trustkit sign does, and leave the last signature to somebody else.

    Nothing becomes current, also where the keys here would do; the proposal's id, and who else can sign it, are said
    on stderr. Where one signature is enough there is nobody to ask: use trustkit sign.

    \b
    Example:
      trustkit propose registry.example.com/app:v1
    """
    signing = signing_with(ctx, passphrase_file, passphrase_fd)
    outcomes = signing.resolve([ImageRef.parse(ref) for ref in refs], recursive=recursive)
    for outcome in outcomes:
        if isinstance(outcome, Unresolved):
            raise outcome.error
    resolved = [outcome for outcome in outcomes if isinstance(outcome, Resolved)]
    for _ in signing.publish(resolved, leave=Leave.ALWAYS):
        pass
