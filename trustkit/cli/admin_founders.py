"""``trustkit admin founders``: which root keys may found collections (TRUST 3.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from trustkit.cli import output
from trustkit.cli.admin_service import Service, format_option, now, pass_service, show
from trustkit.core.patterns import RepositoryPattern

if TYPE_CHECKING:
    from trustkit.core.ports.service import Store


@click.group()
def founders() -> None:
    """Which root keys may found collections.

    The list of the most specific pattern that matches a repository counts. Where there is none, whoever may sign and
    signs first claims the name. Collections that exist are not affected.
    """


@founders.command("add")
@click.argument("pattern")
@click.option("--root-key", "root_keys", metavar="ID", multiple=True, required=True, help="Its id; repeatable.")
@pass_service
def founders_add(service: Service, pattern: str, root_keys: tuple[str, ...]) -> None:
    """Let these root keys found the collections of PATTERN, and nobody who isn't listed.

    PATTERN is a repository, PREFIX/* or *.

    \b
    Example:
      trustkit admin --data-dir /var/lib/trustkit founders add 'team/*' --root-key ID
    """
    from trustkit.authority.founders import Change, add_founders

    parsed = RepositoryPattern.parse(pattern)

    async def change(store: Store) -> frozenset[str]:
        async with store.write() as tx:
            return await add_founders(tx, parsed, root_keys, Change(service.actor, "local", now()))

    _tell(parsed, service.run(change, begins=True))


@founders.command("list")
@format_option
@pass_service
def founders_list(service: Service, layout: str) -> None:
    """List who may found what.

    \b
    Example:
      trustkit admin --data-dir /var/lib/trustkit founders list
    """

    async def read(store: Store) -> list[tuple[str, list[str]]]:
        async with store.read() as tx:
            return sorted((str(pattern), sorted(keys)) for pattern, keys in (await tx.settings.founders()).items())

    lists = service.run(read)
    if layout == "json":
        output.data_json([{"pattern": pattern, "root_keys": keys} for pattern, keys in lists])
        return
    show(layout, ("pattern", "root key"), [{"pattern": p, "root key": key} for p, keys in lists for key in keys])


@founders.command("remove")
@click.argument("pattern")
@click.option("--root-key", "root_keys", metavar="ID", multiple=True, help="Only this one; repeatable.")
@pass_service
def founders_remove(service: Service, pattern: str, root_keys: tuple[str, ...]) -> None:
    """Give up the list of PATTERN, or take single keys off it.

    Without the list a less specific pattern decides, or nothing does.

    \b
    Example:
      trustkit admin --data-dir /var/lib/trustkit founders remove 'team/*'
    """
    from trustkit.authority.founders import Change, remove_founders

    parsed = RepositoryPattern.parse(pattern)

    async def change(store: Store) -> frozenset[str]:
        async with store.write() as tx:
            return await remove_founders(tx, parsed, root_keys, Change(service.actor, "local", now()))

    _tell(parsed, service.run(change))


def _tell(pattern: RepositoryPattern, listed: frozenset[str]) -> None:
    if not listed:
        output.note(f"{pattern} has no list of founders any more.")
        return
    output.note(f"{pattern}: collections are founded by")
    for key_id in sorted(listed):
        output.note(f"  root key {key_id}")
