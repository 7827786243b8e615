"""``trustkit verify``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from trustkit.cli.app import report
from trustkit.cli.context import Context
from trustkit.cli.options import bundle_options
from trustkit.cli.output import data, note
from trustkit.cli.status import exit_status
from trustkit.client.verify import Trusted
from trustkit.core.names import ImageRef
from trustkit.errors import TrustkitError


@click.command("verify")
@click.argument("refs", metavar="REF...", nargs=-1, required=True)
@bundle_options
@click.pass_context
def command(click_context: click.Context, refs: tuple[str, ...], bundle: Path | None, max_age: str | None) -> None:
    """Check each REF and print NAME:TAG@sha256:... for the trusted ones.

    REF is HOST[:PORT]/repository:TAG, with or without @sha256:..., or a digest alone, which is trusted where a tag is
    signed for it now, or was signed with it as a child of its index (sign --recursive). The exit status is that of
    the first REF that isn't trusted, in the order given.
    """
    ctx: Context = click_context.obj
    if bundle is not None or max_age is not None:
        from trustkit.cli.bundle import verifying

        with verifying(ctx, bundle, max_age) as (bundled, _):
            status = each_reference(refs, lambda ref: told(bundled(ref)))
        click_context.exit(status)
    verify = ctx.verify()
    click_context.exit(each_reference(refs, lambda ref: told(verify(ref))))


def told(trusted: Trusted) -> None:
    """One line for what is trusted, and for a child one to stderr by which tag it is."""
    data(str(trusted))
    if trusted.is_child:
        note(f"{trusted} was signed with {trusted.gun}:{trusted.by.tag}@{trusted.by.digest}.")


def each_reference(refs: tuple[str, ...], act: Callable[[ImageRef], None]) -> int:
    """Does something with each reference, reports each failure, and returns the first one's exit status."""
    status = 0
    for text in refs:
        try:
            act(ImageRef.parse(text))
        except TrustkitError as error:
            # A name that a terminal might obey stands in the message already, escaped.
            report(error, text if text.isprintable() and text not in error.message else "")
            status = status or exit_status(error)
    return status
