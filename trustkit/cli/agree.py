"""Showing what a change changes, and asking before tags lose trust."""

from __future__ import annotations

from collections.abc import Callable

import click

from trustkit.cli.output import note
from trustkit.core.difference import Difference
from trustkit.errors import UsageError


def show(difference: Difference) -> None:
    """All that differs, a sentence a line, to stderr."""
    for line in difference.lines():
        note(f"  {line}")


def agree(difference: Difference, *, yes: bool, ask: Callable[[str], bool] | None) -> None:
    """Shows the difference; where tags lose trust, somebody has to agree.

    Args:
        yes: agreed beforehand.
        ask: asks a person; None where there is nobody.

    Raises:
        UsageError: nobody is there to agree.
        click.Abort: the person said no.
    """
    show(difference)
    if yes or not difference.lost:
        return
    count = len(difference.lost)
    words = f"{count} tag{'s stop' if count > 1 else ' stops'} being trusted"
    if ask is None:
        raise UsageError(f"{words}, and nobody is there to agree.", hint="Look with --dry-run, then give --yes.")
    if not ask(f"{words}. Go on"):
        raise click.Abort
