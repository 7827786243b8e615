"""``trustkit inspect``."""

from __future__ import annotations

from typing import Any

import click

from trustkit.cli.context import Context
from trustkit.cli.options import format_option
from trustkit.cli.output import data, data_json, table
from trustkit.core.names import Gun
from trustkit.core.view import SignedView


@click.command("inspect")
@click.argument("gun", metavar="GUN")
@format_option
@click.pass_obj
def command(ctx: Context, gun: str, output: str) -> None:
    """Show what the collection of GUN signs, and by which keys, verified against its pin.

    The JSON form is the array of `docker trust inspect`, with the expiry and versions added.
    """
    name = Gun.parse(gun)
    view = ctx.trust().current(name, ctx.now()).view
    if output == "json":
        data_json([as_json(view)])
    else:
        _table(view)


def as_json(view: SignedView) -> dict[str, Any]:
    """The view in the shape of ``docker trust inspect``."""
    tags = [
        {"SignedTag": str(target.tag), "Digest": target.digest.hex, "Signers": ["Repo Admin"]}
        for target in sorted(view.targets.values(), key=lambda target: target.tag)
    ]
    keys = {"Root": view.root_keys, "Repository": view.target_keys}
    return {
        "Name": str(view.gun),
        "SignedTags": tags,
        "Signers": [],
        "AdministrativeKeys": [{"Name": name, "Keys": [{"ID": key} for key in ids]} for name, ids in keys.items()],
        "Versions": dict(view.versions),
        "Expires": view.expires.isoformat(),
    }


def _table(view: SignedView) -> None:
    rows = [
        (str(target.tag), target.digest.hex, "Repo Admin")
        for target in sorted(view.targets.values(), key=lambda target: target.tag)
    ]
    if rows:
        table(("SIGNED TAG", "DIGEST", "SIGNERS"), rows)
    else:
        data(f"{view.gun} signs nothing.")
    data("")
    data(f"Root keys:        {', '.join(view.root_keys)}")
    data(f"Repository keys:  {', '.join(view.target_keys)}")
    data(f"Valid until:      {view.expires:%Y-%m-%d %H:%M} UTC")
