"""``trustkit pin``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from trustkit.cli.context import Context
from trustkit.cli.output import data_json, note, table
from trustkit.core.ports.remote import Pin
from trustkit.errors import TrustkitError, UsageError

if TYPE_CHECKING:
    from tuf.api.metadata import Root


@click.group("pin")
def command() -> None:
    """Say which root keys to accept for which repositories.

    The most specific pattern that matches a repository counts: HOST/repository, then HOST/prefix/*, then HOST/*.
    """


@command.command("add")
@click.argument("pattern", metavar="PATTERN")
@click.option(
    "--root",
    "root_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Accept this root file and what it leads to. For one repository.",
)
@click.option("--root-key", "root_keys", multiple=True, metavar="ID", help="Accept roots that this key signed.")
@click.option("--threshold", type=click.IntRange(min=1), metavar="K", help="How many of the keys. [default: all]")
@click.option("--replace", is_flag=True, help="Put this in the place of another pin for the same pattern.")
@click.pass_obj
def add(
    ctx: Context,
    pattern: str,
    root_file: Path | None,
    root_keys: tuple[str, ...],
    threshold: int | None,
    *,
    replace: bool,
) -> None:
    """Pin PATTERN to a root file or to root keys that came to you from the publisher."""
    if (root_file is None) == (not root_keys):
        raise UsageError("Say what to accept.", hint="Give either --root FILE, or --root-key ID, once or more.")
    if root_file is not None:
        if threshold is not None:
            raise UsageError("--threshold goes with --root-key.", hint="A root file has its own threshold.")
        root, keys = _read_root(root_file, pattern)
        pin = Pin(pattern, root=root)
    else:
        keys = root_keys
        pin = Pin(pattern, key_ids=root_keys, threshold=threshold or len(root_keys))
    ctx.home.pins.add(pin, replace=replace)
    note(f"{pattern} is pinned to {_accepted(pin)}.")
    for key in keys:
        note(f"  root key {key}")


@command.command("list")
@click.option("--format", "output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.pass_obj
def list_pins(ctx: Context, output: str) -> None:
    """Show what is pinned."""
    pins = ctx.home.pins.list()
    if output == "json":
        data_json([_as_json(pin) for pin in pins])
    elif pins:
        rows: list[tuple[str, ...]] = [
            (pin.pattern, pin.format, _accepted(pin), " ".join(k[:16] for k in _keys(pin))) for pin in pins
        ]
        table(("PATTERN", "FORMAT", "ACCEPTS", "ROOT KEYS"), rows)
    else:
        note("Nothing is pinned.")


@command.command("remove")
@click.argument("pattern", metavar="PATTERN")
@click.pass_obj
def remove(ctx: Context, pattern: str) -> None:
    """Remove the pin of PATTERN. What it was for is no longer trusted."""
    ctx.home.pins.remove(pattern)
    note(f"{pattern} is no longer pinned.")


def _read_root(path: Path, pattern: str) -> tuple[bytes, tuple[str, ...]]:
    """A root file's bytes and root keys.

    It has to name the one GUN that it is pinned for (TRUST 1.3), and its keys have to be what their ids say, because
    the ids are what a person compares (TRUST 2.1).
    """
    from trustkit.core.formats.tuf1 import guns
    from trustkit.core.patterns import GunPattern
    from trustkit.core.pincheck import MAX_ROOT
    from trustkit.core.pinning import root_key_ids
    from trustkit.home.files import read_bounded

    data = read_bounded(path, MAX_ROOT) or b""
    try:
        keys, _ = root_key_ids(data)
        named = [str(gun) for gun in guns(_parsed(data))]
    except TrustkitError as error:
        raise UsageError(f"{path} is not a root file: {error.message}") from error
    if str(GunPattern.parse(pattern)) not in named:
        raise UsageError(
            f"{path} is the root of {' and '.join(named) or 'no collection'}, not of {pattern}.",
            hint="A root file is pinned for the collection that it names; for a pattern, pin root key ids.",
        )
    return data, tuple(sorted(keys))


def _parsed(data: bytes) -> Root:
    from tuf.api.metadata import Root

    from trustkit.core.formats import tuf1

    return tuf1.read(data, Root).signed


def _keys(pin: Pin) -> tuple[str, ...]:
    return pin.key_ids if pin.root is None else tuple(sorted(_parsed(pin.root).roles["root"].keyids))


def _accepted(pin: Pin) -> str:
    if pin.root is not None:
        return "a root file"
    return f"{pin.threshold} of {len(pin.key_ids)} root keys"


def _as_json(pin: Pin) -> dict[str, object]:
    return {
        "pattern": pin.pattern,
        "format": pin.format,
        "kind": "root" if pin.root is not None else "root-keys",
        "root_keys": list(_keys(pin)),
        "threshold": pin.threshold,
    }
