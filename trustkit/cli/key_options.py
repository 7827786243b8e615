"""Options that several ``trustkit key`` commands share, and the words for a key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from trustkit.core.names import Gun, SignerName
    from trustkit.core.ports.keys import KeyInfo

Command = TypeVar("Command", bound=Callable[..., Any])

ROLES = click.Choice(["root", "repository", "signer"])
FILE = click.Path(path_type=Path, dir_okay=False)


def passphrase(command: Command) -> Command:
    """Adds the two options that every command which opens or makes a key has."""
    command = click.option("--passphrase-fd", type=int, metavar="N", help="Read the passphrase from descriptor N.")(
        command
    )
    return click.option("--passphrase-file", type=FILE, metavar="FILE", help="Read the passphrase from FILE.")(
        command
    )


def subject(command: Command) -> Command:
    """Adds ``--gun`` and ``--name`` of a key that is new here."""
    command = click.option("--name", metavar="NAME", help="The name of a signer.")(command)
    return click.option("--gun", metavar="GUN", help="The collection of a repository key.")(command)


def purpose(command: Command) -> Command:
    """Adds ``--role``, ``--gun`` and ``--name`` of a key that is new here."""
    return click.option("--role", type=ROLES, required=True, help="What the key is for.")(subject(command))


def public_out(command: Command) -> Command:
    """Adds ``--public-out``."""
    return click.option(
        "--public-out", type=FILE, metavar="FILE", help="Write the public half to FILE, PEM, and never over one."
    )(command)


def names(gun: str | None, name: str | None) -> tuple[Gun | None, SignerName | None]:
    """What ``--gun`` and ``--name`` say; raises InvalidName."""
    from trustkit.core.names import Gun, SignerName

    return (Gun.parse(gun) if gun else None, SignerName.parse(name) if name else None)


def describe(info: KeyInfo) -> str:
    """A key in words."""
    from trustkit.keys.subjects import KeySubject

    return str(KeySubject.of(info))
