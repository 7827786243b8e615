"""``trustkit admin policy``: what holds for the whole service."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from trustkit.cli import output
from trustkit.cli.admin_service import Service, now, pass_service

if TYPE_CHECKING:
    from trustkit.core.ports.service import Store

_HISTORY = "history"
_WORDS = click.Choice(["enabled", "disabled", "tuf", "docker"])


def _value(ctx: click.Context, parameter: click.Parameter, value: str) -> str:
    """A policy's own word; what history may be has a form."""
    return value if ctx.params.get("name") == _HISTORY else str(_WORDS.convert(value, parameter, ctx))


@click.group()
def policy() -> None:
    """Policies of the whole service."""


@policy.command("set")
@click.argument("name", type=click.Choice(["content-trust", "notary-api", "default-format", _HISTORY]))
@click.argument("value", callback=_value)
@click.option("--force", is_flag=True, help="Although repositories are trust-only: they refuse all pulls then.")
@pass_service
def policy_set(service: Service, name: str, value: str, *, force: bool) -> None:
    """Set a policy: content-trust and notary-api are enabled or disabled, default-format is tuf or docker.

    content-trust is all of it, notary-api what docker and notary use; nothing is deleted, and renewals go on.
    default-format is what trustkit makes collections in. history is how long metadata stays that other versions
    have taken the place of: all, days as 90d, versions of each role as 10v, or 90d,10v for what either keeps.

    \b
    Example:
      trustkit admin --data-dir /var/lib/trustkit policy set default-format docker
    """
    from trustkit.authority import settings

    async def change(store: Store) -> None:
        async with store.write() as tx:
            if name == settings.CONTENT_TRUST:
                await settings.set_content_trust(
                    tx, value, unsafe_force=force, actor=service.actor, source="local", now=now()
                )
            else:
                await settings.set_policy(tx, name, value, actor=service.actor, source="local", now=now())

    service.run(change, begins=True)
    output.note(f"{name} is {value}.")
