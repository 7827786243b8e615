"""``trustkit mirror``."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import click

from trustkit.cli.context import Context
from trustkit.cli.output import data, note
from trustkit.core.names import Gun, ImageRef, Tag
from trustkit.errors import InvalidReference, UsageError
from trustkit.home.files import user_path

if TYPE_CHECKING:
    from trustkit.engines.mirror import MirrorFolder


@click.command("mirror")
@click.argument("what", metavar="SRC...", nargs=-1, required=True)
@click.argument("to", metavar="DST")
@click.pass_context
def command(click_context: click.Context, what: tuple[str, ...], to: str) -> None:
    """Copy signed images and their trust data to DST; everything is verified first, and no key is needed.

    SRC is a repository, HOST[:PORT]/repository, with all its signed tags, or one of its tags. DST is dir:PATH: the
    collection as a static TUF repository for any web server, and the images as OCI layouts; or HOST[:PORT]/repository
    of another registry, which takes the images of one repository by digest and tag.

    \b
    Examples:
      trustkit mirror registry.example.com/app dir:/srv/mirror
      trustkit mirror registry.example.com/app:v1 mirror.example.com/app
    """
    from trustkit.cli.bundle import consumer
    from trustkit.cli.publishing import notary
    from trustkit.client.collecting import Collect
    from trustkit.client.mirror import Mirror
    from trustkit.engines.mirror import MirrorRegistry

    ctx: Context = click_context.obj
    wanted, folder = _wanted(what), _folder(to)
    if folder is None and len(wanted) > 1:
        raise UsageError(
            "One repository goes to one repository.", hint="Run it once for each, or mirror to dir:PATH."
        )
    mirror = Mirror(
        ctx.verify(),
        Collect(consumer(ctx), ctx.service, lambda: notary(ctx)),
        ctx.registry,
        images=folder or MirrorRegistry(ctx.registry, Gun.parse(to)),
        files=folder,
        clock=ctx.now,
    )
    with folder.locked() if folder else nullcontext():
        for gun, tags in wanted.items():
            done = mirror(gun, tags)
            for ref in done.tags:
                data(str(ref))
            note(f"{gun}: {done.files} metadata file(s) and {done.blobs} blob(s) were new.")
    if folder is None:
        note(f"Images only: trust data stays with {next(iter(wanted)).host}. See trustkit mirror SRC dir:PATH.")


def _wanted(what: tuple[str, ...]) -> dict[Gun, list[Tag]]:
    """By repository the tags that are wanted; none for all of them."""
    refs = [ImageRef.parse(text) for text in dict.fromkeys(what)]
    if digests := [ref for ref in refs if ref.digest is not None]:
        raise InvalidReference(f"{digests[0]} names a digest.", hint="Name a repository, or tags of it.")
    whole = {ref.gun for ref in refs if ref.tag is None}
    wanted: dict[Gun, list[Tag]] = {ref.gun: [] for ref in refs}
    for ref in refs:
        if ref.tag is not None and ref.gun not in whole:
            wanted[ref.gun].append(ref.tag)
    return wanted


def _folder(to: str) -> MirrorFolder | None:
    from trustkit.engines.mirror import MirrorFolder

    kind, _, rest = to.partition(":")
    if kind == "dir" and rest:
        return MirrorFolder(user_path(rest, "dir:"))
    if to.startswith(("/", "./", "../", "~")) or to in (".", ".."):
        return MirrorFolder(user_path(to, "DST"))
    return None
