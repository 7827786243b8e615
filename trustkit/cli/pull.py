"""``trustkit pull``."""

from __future__ import annotations

import click

from trustkit.cli.context import Context
from trustkit.cli.options import policy_option
from trustkit.cli.verify import each_reference, told_verdict
from trustkit.client.pull import pull
from trustkit.core.names import ImageRef


@click.command("pull")
@click.argument("refs", metavar="REF...", nargs=-1, required=True)
@click.option("--to", "to", default="docker", show_default=True, metavar="docker|skopeo:DEST|oci:DIR")
@policy_option
@click.pass_context
def command(click_context: click.Context, refs: tuple[str, ...], to: str, policy: str | None) -> None:
    """Pull the signed digest of each REF, then give it the tag.

    With --to docker the engine pulls by digest and tags; skopeo:DEST copies with skopeo to any of its destinations;
    oci:DIR needs no engine and writes an OCI layout. What isn't signed is not pulled.
    """
    ctx: Context = click_context.obj
    engine = ctx.engine(to)
    enforce = ctx.enforce(policy)

    def one(ref: ImageRef) -> None:
        told_verdict(pull(ref, enforce, engine, ctx.registry))

    click_context.exit(each_reference(refs, one))
