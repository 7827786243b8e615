"""``trustkit inspect``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Any

import click

from trustkit.cli.context import Context
from trustkit.cli.options import format_option
from trustkit.cli.output import data, data_json, table
from trustkit.client.signers import signer_rows
from trustkit.core.names import Gun, Tag
from trustkit.core.view import SignedView

ADMINISTRATOR = "Repo Admin"
"""What Docker calls the holder of the repository key."""


@click.command("inspect")
@click.argument("gun", metavar="GUN")
@format_option
@click.pass_obj
def command(ctx: Context, gun: str, output: str) -> None:
    """Show what the collection of GUN signs, and by which keys, verified against its pin.

    The JSON form is the array of `docker trust inspect`, with the format, expiry and versions added.

    \b
    Examples:
      trustkit inspect registry.example.com/app
      trustkit inspect registry.example.com/app --format json
    """
    name, now, trust = Gun.parse(gun), ctx.now(), ctx.trust(only=None)
    current = trust.current(name, now)
    signers = trust.attributions(current, now)
    if output == "json":
        data_json([as_json(current.view, signers)])
    else:
        _table(current.view, signers)


def as_json(view: SignedView, signers: Mapping[Tag, Set[str]]) -> dict[str, Any]:
    """The view in the shape of ``docker trust inspect``.

    Args:
        signers: by tag the names of the signers whose own key signed it; a tag without is the repository key's.
    """
    tags = [
        {"SignedTag": str(target.tag), "Digest": target.digest.hex, "Signers": _names(signers, target.tag)}
        for target in sorted(view.targets.values(), key=lambda target: target.tag)
    ]
    keys = {"Root": view.root_keys, "Repository": view.target_keys}
    return {
        "Name": str(view.gun),
        "SignedTags": tags,
        "Signers": [{"Name": row.name, "Keys": _ids(row.key_ids)} for row in signer_rows(view)],
        "AdministrativeKeys": [{"Name": name, "Keys": _ids(ids)} for name, ids in keys.items()],
        "Format": view.format,
        "Versions": dict(view.versions),
        "Expires": view.expires.isoformat(),
    }


def _names(signers: Mapping[Tag, Set[str]], tag: Tag) -> list[str]:
    return sorted(signers.get(tag, ())) or [ADMINISTRATOR]


def _ids(key_ids: Iterable[str]) -> list[dict[str, str]]:
    return [{"ID": key_id} for key_id in key_ids]


def _table(view: SignedView, signers: Mapping[Tag, Set[str]]) -> None:
    rows = [
        (str(target.tag), target.digest.hex, ", ".join(_names(signers, target.tag)))
        for target in sorted(view.targets.values(), key=lambda target: target.tag)
    ]
    if rows:
        table(("SIGNED TAG", "DIGEST", "SIGNERS"), rows)
    else:
        data(f"{view.gun} signs nothing.")
    data("")
    for row in signer_rows(view):
        data(f"Signer {row.name} ({', '.join(row.paths) or 'all other tags'}): {', '.join(row.key_ids)}")
    if view.format != "tuf":
        data(f"Format:           {view.format}")
    data(f"Root keys:        {', '.join(view.root_keys)}")
    data(f"Repository keys:  {', '.join(view.target_keys)}")
    data(f"Valid until:      {view.expires:%Y-%m-%d %H:%M} UTC")
