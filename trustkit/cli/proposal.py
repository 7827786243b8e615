"""``trustkit proposal``: changes that wait for the signatures of others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from trustkit.cli.context import Context
from trustkit.cli.options import format_option
from trustkit.cli.output import data, data_json, note, table
from trustkit.cli.publishing import approvals
from trustkit.core.names import Gun
from trustkit.core.proposals import Proposal

if TYPE_CHECKING:
    from trustkit.core.difference import Difference


@click.group("proposal", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """List, look at and drop proposals: changes that wait for the signatures of others.

    A role has at most one open proposal. It becomes current with its last signature: trustkit approve.
    """


@command.command("list")
@click.argument("gun", metavar="GUN")
@format_option
@click.pass_obj
def list_proposals(ctx: Context, gun: str, output: str) -> None:
    """List the open proposals of GUN, the oldest first.

    \b
    Example:
      trustkit proposal list registry.example.com/app
    """
    found = approvals(ctx).list(Gun.parse(gun))
    if output == "json":
        data_json([document(each) for each in found])
        return
    if not found:
        note(f"{gun} has no open proposal.")
        return
    rows = [
        (
            each.id,
            each.role,
            str(each.missing),
            "yes" if each.stale else "-",
            each.by,
            f"{each.opened:%Y-%m-%d %H:%M}",
        )
        for each in found
    ]
    table(("ID", "ROLE", "MISSING", "STALE", "BY", "OPENED (UTC)"), rows)


@command.command("show")
@click.argument("gun", metavar="GUN")
@click.argument("identifier", metavar="ID")
@format_option
@click.pass_obj
def show(ctx: Context, gun: str, identifier: str, output: str) -> None:
    """Show what proposal ID would change of the current state of GUN, and who has to sign it yet.

    \b
    Example:
      trustkit proposal show registry.example.com/app 7f3a
    """
    shown = approvals(ctx).show(Gun.parse(gun), identifier)
    if output == "json":
        data_json({**document(shown.proposal, shown.names), "changes": _changes(shown.difference)})
        return
    for line in _changes(shown.difference):
        data(line)
    if shown.proposal.stale:
        data(f"Stale, it can only be dropped: {shown.proposal.stale}")
    for what, lack in shown.proposal.told:
        data(f"{what} lacks {lack.count} more, as {lack.delegator} says, by the keys")
        for key_id in lack.key_ids:
            data(f"  {key_id}  {shown.names.get(key_id, '')}".rstrip())


@command.command("drop")
@click.argument("gun", metavar="GUN")
@click.argument("identifier", metavar="ID")
@format_option
@click.pass_obj
def drop(ctx: Context, gun: str, identifier: str, output: str) -> None:
    """Drop proposal ID of GUN: the signatures that it has can't be used any more.

    \b
    Example:
      trustkit proposal drop registry.example.com/app 7f3a
    """
    dropped = approvals(ctx).drop(Gun.parse(gun), identifier)
    if output == "json":
        data_json(document(dropped))
    note(f"Dropped {identifier}.")


def document(proposal: Proposal, names: Mapping[str, str] | None = None) -> dict[str, object]:
    """A proposal for ``--format json``; with names it says whose each key is."""
    lacks = [
        {
            "role": lack.role,
            "delegator": lack.delegator,
            "count": lack.count,
            "keys": [_key(key_id, names) for key_id in lack.key_ids],
        }
        for lack in proposal.lacks
    ]
    return {
        "id": proposal.id,
        "role": proposal.role,
        "missing": proposal.missing,
        "roles": list(proposal.versions),
        "lacks": lacks,
        "opened": f"{proposal.opened:%Y-%m-%dT%H:%M:%SZ}",
        "by": proposal.by,
        "stale": bool(proposal.stale),
        "reason": proposal.stale or None,
    }


def _key(key_id: str, names: Mapping[str, str] | None) -> dict[str, str | None]:
    return {"id": key_id} if names is None else {"id": key_id, "name": names.get(key_id)}


def _changes(difference: Difference | None) -> list[str]:
    return difference.lines() if difference else []
