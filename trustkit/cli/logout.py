"""``trustkit logout``."""

from __future__ import annotations

import click

from trustkit.cli.context import Context
from trustkit.cli.output import note
from trustkit.core.names import Host


@click.command("logout")
@click.argument("host", metavar="HOST")
@click.pass_obj
def command(ctx: Context, host: str) -> None:
    """Forget what login stored for the registry HOST, and every cached access token.

    \b
    Example:
      trustkit logout registry.example.com
    """
    from trustkit.home.files import write_atomically

    registry = Host.parse(host)
    _, removed = ctx.docker_config().forget(registry, write_atomically)
    ctx.home.tokens.clear()
    note(f"Logged out of {registry}." if removed else f"Nothing was stored for {registry}.")
