"""``trustkit push``."""

from __future__ import annotations

import click

from trustkit.cli.context import Context
from trustkit.cli.output import data
from trustkit.core.names import ImageRef
from trustkit.errors import InvalidReference


@click.command("push")
@click.argument("source", metavar="oci:DIR:TAG")
@click.argument("ref", metavar="REF")
@click.pass_obj
def command(ctx: Context, source: str, ref: str) -> None:
    """Push an image from an OCI layout folder to REF; no engine needed.

    Prints NAME:TAG@sha256:... of what the registry holds now. Pushing does not sign.
    """
    kind, _, rest = source.partition(":")
    folder, _, tag = rest.rpartition(":")
    if kind != "oci" or not folder or not tag:
        raise InvalidReference(f"{source!r} is not a source.", hint="Write oci:DIR:TAG.")
    target = ImageRef.parse(ref)
    digest = ctx.push(folder, tag, target)
    data(f"{target.gun}:{target.required_tag}@{digest}")
