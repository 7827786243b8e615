"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def passphrase_options(command: F) -> F:
    """``--passphrase-file`` and ``--passphrase-fd``; a passphrase itself is never an argument."""
    command = click.option(
        "--passphrase-fd", type=click.IntRange(min=0), metavar="N", help="Read the passphrase from this descriptor."
    )(command)
    return click.option(
        "--passphrase-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Read the passphrase from this file.",
    )(command)


def root_key_option(command: F) -> F:
    """``--root-key``: which root key founds a new collection."""
    return click.option(
        "--root-key", metavar="ID", help="The root key to found a collection with, if there are several."
    )(command)


def trust_dir_option(command: F) -> F:
    """``--trust-dir``: Docker's own keys in the place of the home's."""
    return click.option(
        "--trust-dir",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        metavar="DIR",
        help="Use the keys of this trust folder, as ~/.docker/trust; for collections in format docker.",
    )(command)


def format_option(command: F) -> F:
    """``--format table|json``, passed as ``output``."""
    return click.option(
        "--format", "output", type=click.Choice(["table", "json"]), default="table", show_default=True
    )(command)


def policy_option(command: F) -> F:
    """``--policy``: a policy file in the place of this machine's."""
    return click.option(
        "--policy", metavar="FILE", help="The policy. [TRUSTKIT_POLICY; default: policy.toml of the home, if any]"
    )(command)


def bundle_options(command: F) -> F:
    """``--bundle`` and ``--max-age``: a file in the place of the network."""
    command = click.option(
        "--max-age", metavar="AGE", help="How long ago the bundle's timestamp may be signed: 36h, 14d. No default."
    )(command)
    return click.option(
        "--bundle",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Use this bundle and no network; needs --max-age.",
    )(command)
