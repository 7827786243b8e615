"""Where a command's words go: data to stdout, everything said about it to stderr."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click


def data(text: str) -> None:
    """One line of what was asked for, to stdout."""
    click.echo(text)


def note(text: str) -> None:
    """One line about it, to stderr."""
    click.echo(text, err=True)


def data_json(value: object) -> None:
    """A value as indented JSON, to stdout."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def table(headers: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Rows under headers in aligned columns, to stdout; no colours, so it can be piped."""
    widths = [max(len(row[i]) for row in [headers, *rows]) for i in range(len(headers))]
    for row in [headers, *rows]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
