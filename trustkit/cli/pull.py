"""``trustkit pull``."""

from __future__ import annotations

from pathlib import Path

import click

from trustkit.cli.context import Context
from trustkit.cli.moving import engine_of, plain_http
from trustkit.cli.options import bundle_options, policy_option
from trustkit.cli.verify import each_reference, told, told_verdict
from trustkit.client.pull import pull
from trustkit.core.names import ImageRef


@click.command("pull")
@click.argument("refs", metavar="REF...", nargs=-1, required=True)
@click.option("--to", "to", default="docker", show_default=True, metavar="docker|podman|skopeo:DEST|oci:DIR")
@bundle_options
@policy_option
@click.pass_context
def command(
    click_context: click.Context,
    refs: tuple[str, ...],
    to: str,
    bundle: Path | None,
    max_age: str | None,
    policy: str | None,
) -> None:
    """Pull the signed digest of each REF, then give it the tag.

    With --to docker or podman, the engine pulls the image by its digest and then tags it. skopeo:DEST copies it with
    skopeo to any of its destinations. oci:DIR needs no engine and writes an OCI layout. An image that isn't signed is
    not pulled.

    \b
    Examples:
      trustkit pull registry.example.com/app:v1
      trustkit pull --to podman registry.example.com/app:v1
      trustkit pull --to oci:./images registry.example.com/app:v1
    """
    ctx: Context = click_context.obj
    if bundle is not None or max_age is not None:
        click_context.exit(_bundled(ctx, refs, to, bundle, max_age, policy))
    engine = engine_of(ctx, to)
    enforce = ctx.enforce(policy)

    def one(ref: ImageRef) -> None:
        told_verdict(pull(ref, enforce, engine, ctx.registry))

    click_context.exit(each_reference(refs, one))


def _bundled(
    ctx: Context, refs: tuple[str, ...], to: str, bundle: Path | None, max_age: str | None, policy: str | None
) -> int:
    from trustkit.cli.bundle import verifying
    from trustkit.engines.bundled import bundled_engine

    with verifying(ctx, bundle, max_age, policy) as offline:
        engine = bundled_engine(to, offline.bundle, offline.types, environ=ctx.environ, plain_http=plain_http(ctx))

        def one(ref: ImageRef) -> None:
            trusted = offline.trusted(ref)
            engine.pull(trusted.ref)
            told(trusted)

        return each_reference(refs, one)
