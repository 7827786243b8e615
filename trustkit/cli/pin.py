"""``trustkit pin``."""

from __future__ import annotations

from pathlib import Path

import click

from trustkit.cli.context import Context
from trustkit.cli.output import data_json, note, table
from trustkit.core.ports.remote import Pin
from trustkit.errors import UsageError

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


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
    type=_FILE,
    metavar="FILE",
    help="Accept this root file and what it leads to. For one repository.",
)
@click.option(
    "--root-key", "root_keys", multiple=True, metavar="ID", help="Accept roots that this key signed. Repeatable."
)
@click.option("--threshold", type=click.IntRange(min=1), metavar="K", help="How many of the keys. [default: all]")
@click.option(
    "--ca",
    "ca_file",
    type=_FILE,
    metavar="FILE",
    help="Accept root keys with certificates that one of these authorities issued for the repository. For docker.",
)
@click.option(
    "--format",
    "wire",
    type=click.Choice(["tuf", "docker"]),
    help="The collection's format: docker for what docker trust and notary sign. [default: tuf]",
)
@click.option("--replace", is_flag=True, help="Put this in the place of another pin for the same pattern.")
@click.pass_obj
def add(
    ctx: Context,
    pattern: str,
    root_file: Path | None,
    root_keys: tuple[str, ...],
    threshold: int | None,
    ca_file: Path | None,
    wire: str | None,
    *,
    replace: bool,
) -> None:
    """Trust, for PATTERN, a root file, root keys or authorities that the publisher gave you.

    In format docker, ID is the root key's as `docker trust inspect` shows it.

    \b
    Examples:
      trustkit pin add registry.example.com/app --root root.json
      trustkit pin add 'registry.example.com/*' --root-key ID
    """
    from trustkit.cli.pinning import pin_of

    if (root_file is not None) + bool(root_keys) + (ca_file is not None) != 1:
        raise UsageError(
            "Say what to accept.", hint="Give one of --root FILE, --ca FILE, or --root-key ID, once or more."
        )
    if threshold is not None and not root_keys:
        raise UsageError("--threshold goes with --root-key.", hint="A root file has its own threshold.")
    pin = pin_of(
        ctx, pattern, root_file=root_file, root_keys=root_keys, threshold=threshold, ca_file=ca_file, wire=wire
    )
    ctx.home.pins.add(pin, replace=replace)
    note(f"{pattern} is pinned to {_accepted(pin)}{_of_format(pin)}.")
    for key in _keys(pin):
        note(f"  root key {key}")
    for authority in _authorities(pin):
        note(f"  authority {authority}")


@command.command("list")
@click.option("--format", "output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.pass_obj
def list_pins(ctx: Context, output: str) -> None:
    """Show what is pinned.

    \b
    Example:
      trustkit pin list
    """
    pins = ctx.home.pins.list()
    if output == "json":
        data_json([_as_json(pin) for pin in pins])
    elif pins:
        rows: list[tuple[str, ...]] = [
            (pin.pattern, pin.format, _accepted(pin), " ".join(k[:16] for k in _keys(pin)) or "-") for pin in pins
        ]
        table(("PATTERN", "FORMAT", "ACCEPTS", "ROOT KEYS"), rows)
    else:
        note("Nothing is pinned.")


@command.command("remove")
@click.argument("pattern", metavar="PATTERN")
@click.pass_obj
def remove(ctx: Context, pattern: str) -> None:
    """Remove the pin of PATTERN. What it was for is no longer trusted.

    \b
    Example:
      trustkit pin remove 'registry.example.com/*'
    """
    ctx.home.pins.remove(pattern)
    note(f"{pattern} is no longer pinned.")


def _keys(pin: Pin) -> tuple[str, ...]:
    from trustkit.cli.pinning import root_keys_of

    return pin.key_ids if pin.root is None else root_keys_of(pin.root)


def _authorities(pin: Pin) -> list[str]:
    if pin.authorities is None:
        return []
    from trustkit.cli.pinning import fingerprints

    return fingerprints(pin.authorities)


def _accepted(pin: Pin) -> str:
    if pin.root is not None:
        return "a root file"
    if pin.authorities is not None:
        count = len(_authorities(pin))
        return "root keys of one authority" if count == 1 else f"root keys of {count} authorities"
    return f"{pin.threshold} of {len(pin.key_ids)} root keys"


def _of_format(pin: Pin) -> str:
    return "" if pin.format == "tuf" else f", in format {pin.format}"


def _as_json(pin: Pin) -> dict[str, object]:
    kind = "root" if pin.root is not None else "authorities" if pin.authorities is not None else "root-keys"
    return {
        "pattern": pin.pattern,
        "format": pin.format,
        "kind": kind,
        "root_keys": list(_keys(pin)),
        "threshold": pin.threshold,
        **({} if pin.authorities is None else {"authorities": _authorities(pin)}),
    }
