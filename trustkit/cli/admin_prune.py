"""``trustkit admin prune``: what nothing needs any more of a service's metadata goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from trustkit.cli import output
from trustkit.cli.admin_service import Service, format_option, now, pass_service, show
from trustkit.core.names import Gun

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trustkit.authority.pruning import Pruned
    from trustkit.core.history import History
    from trustkit.core.ports.past import Held, Shelf
    from trustkit.core.ports.service import Store

_LOOKED = ("gun", "side", "files", "bytes", "past", "past_bytes", "due", "due_bytes")
_DONE = ("gun", "side", "removed", "removed_bytes")


@click.command("prune")
@click.argument("guns", metavar="[GUN...]", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Only show what is stored, and what would go.")
@format_option
@pass_service
@click.pass_context
def prune(
    click_context: click.Context, service: Service, guns: tuple[str, ...], layout: str, *, dry_run: bool
) -> None:
    """Remove versions of metadata that nothing needs and the policy history doesn't keep.

    The service does so itself once a day. Every root stays, so do the last version of each role, what was current
    within the last day, and the audit log. The service may run meanwhile. Of all collections, or of each GUN.

    \b
    Example:
      trustkit admin --data-dir /var/lib/trustkit prune --dry-run
    """
    from trustkit.authority.pruning import Pruning
    from trustkit.cli.status import FAILED

    named = [Gun.parse(gun) for gun in guns]

    def pruning(store: Store) -> Pruning:
        return Pruning(store, clock=now, actor=service.actor, source="local")

    if dry_run:
        policy, found = service.run(lambda store: pruning(store).look(named))
        show(layout, _LOOKED, [_looked(shelf, held) for shelf, held in found.items()])
        output.note(_would(policy, found))
        return
    done = service.run(lambda store: pruning(store).prune(named))
    rows = [_row(shelf) | {"removed": files, "removed_bytes": size} for shelf, (files, size) in done.by.items()]
    show(layout, _DONE, rows)
    output.note(_did(done))
    for gun, reason in done.failed.items():
        output.note(f"trustkit: {gun}: left alone: {reason}")
    if done.failed:
        click_context.exit(FAILED)


def _row(shelf: Shelf) -> dict[str, object]:
    return {"gun": str(shelf.gun), "side": "docker" if shelf.frozen else "current"}


def _looked(shelf: Shelf, held: Held) -> dict[str, object]:
    return _row(shelf) | {name: getattr(held, name) for name in _LOOKED[2:]}


def _would(policy: History, found: Mapping[Shelf, Held]) -> str:
    files, size = sum(held.due for held in found.values()), sum(held.due_bytes for held in found.values())
    return f"history is {policy}: {files} files of {size} bytes would be removed. Nothing was: --dry-run."


def _did(done: Pruned) -> str:
    if done.history.everything:
        return "history is all: nothing is ever removed."
    return f"history is {done.history}: removed {done.files} files of {done.bytes} bytes."
