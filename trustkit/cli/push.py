"""``trustkit push``."""

from __future__ import annotations

from pathlib import Path

import click

from trustkit.cli.context import Context
from trustkit.cli.moving import layout_image
from trustkit.cli.options import passphrase_options, root_key_option, trust_dir_option
from trustkit.cli.output import data, note
from trustkit.cli.publishing import signing_with
from trustkit.client.push import push, push_signed
from trustkit.core.names import ImageRef
from trustkit.errors import InvalidReference, UsageError


@click.command("push")
@click.argument("source", metavar="oci:DIR:TAG")
@click.argument("ref", metavar="REF")
@click.option("--sign", "signing", is_flag=True, help="Sign it before the tag is moved to it.")
@click.option("--recursive", is_flag=True, help="With --sign: as trustkit sign --recursive.")
@root_key_option
@trust_dir_option
@passphrase_options
@click.pass_obj
def command(
    ctx: Context,
    source: str,
    ref: str,
    root_key: str | None,
    trust_dir: Path | None,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
    *,
    signing: bool,
    recursive: bool,
) -> None:
    """Push an image from an OCI layout folder to REF; no engine needed.

    Everything goes by digest, and the tag is moved last. With --sign it is moved only when the signature is
    published: a signature that is refused leaves the tag as it was. Prints NAME:TAG@sha256:... of what the registry
    holds now.

    \b
    Examples:
      trustkit push oci:./image:v1 registry.example.com/app:v1
      trustkit push --sign oci:./image:v1 registry.example.com/app:v1
    """
    target = ImageRef.parse(ref)
    name = f"{target.gun}:{target.required_tag}"
    folder, tag = _layout(source)
    image = layout_image(ctx, folder, tag)
    if signing:
        sign = signing_with(ctx, passphrase_file, passphrase_fd, trust_dir=trust_dir)
        signed = push_signed(image, target, ctx.registry, sign, say=note, root_key=root_key, recursive=recursive)
        if signed is None:
            return
        digest = signed
    elif recursive or root_key or trust_dir or passphrase_file or passphrase_fd is not None:
        raise UsageError("Pushing alone needs no key.", hint="Add --sign, or leave out what is about signing.")
    else:
        digest = push(image, target, ctx.registry)
    data(f"{name}@{digest}")


def _layout(source: str) -> tuple[Path, str]:
    kind, _, rest = source.partition(":")
    folder, _, tag = rest.rpartition(":")
    if kind != "oci" or not folder or not tag:
        raise InvalidReference(f"{source!r} is not a source.", hint="Write oci:DIR:TAG.")
    return Path(folder), tag
