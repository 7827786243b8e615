"""``trustkit renew``."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trustkit.cli.app import report
from trustkit.cli.context import Context
from trustkit.cli.options import passphrase_options
from trustkit.cli.output import data, note
from trustkit.cli.status import DONE, exit_status
from trustkit.core.names import Gun
from trustkit.errors import TrustkitError, UsageError

if TYPE_CHECKING:
    from trustkit.client.renew import Plan, Renew
    from trustkit.keys.store import FileKeyStore


@click.command("renew")
@click.argument("guns", metavar="GUN...", nargs=-1, required=True)
@click.option("--role", "roles", multiple=True, metavar="R", help="This role, whenever it expires. Repeatable.")
@click.option(
    "--within",
    type=click.IntRange(min=0),
    default=90,
    show_default=True,
    metavar="DAYS",
    help="What has expired, or expires within DAYS.",
)
@click.option("--all", "everything", is_flag=True, help="Every role, whenever it expires.")
@click.option("--dry-run", is_flag=True, help="Show what would be signed anew, and what by others.")
@passphrase_options
@click.pass_context
def command(
    click_context: click.Context,
    guns: tuple[str, ...],
    roles: tuple[str, ...],
    within: int,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
    *,
    everything: bool,
    dry_run: bool,
) -> None:
    """Sign anew what has expired in each GUN or soon will, with the keys here, its contents as they are.

    What the keys here are not enough for is named, with who can; where they are some of several, a proposal is left
    for the others. The service renews snapshot and timestamp by itself.
    """
    ctx: Context = click_context.obj
    if roles and everything:
        raise UsageError("--role says which roles, and --all all of them.", hint="Give one of the two.")
    store = ctx.key_store(passphrase_file, passphrase_fd)
    act, status = _renew(ctx, store), DONE
    for gun in dict.fromkeys(Gun.parse(text) for text in guns):
        try:
            plan = act.plan(gun, roles=roles, within=None if everything else timedelta(days=within))
            if dry_run:
                _show(plan)
            else:
                _carry_out(act, plan, store.place, named=everything or bool(roles))
        except TrustkitError as error:
            report(error, "" if str(gun) in error.message else str(gun))
            status = status or exit_status(error)
    click_context.exit(status)


def _renew(ctx: Context, store: FileKeyStore) -> Renew:
    from trustkit.client.renew import Renew
    from trustkit.config import lifetimes
    from trustkit.core.ports.keys import KeyRole

    trust = ctx.trust(lambda: [info.id for info in store.list() if info.role is KeyRole.ROOT], ctx.looking)
    publisher, life = ctx.publisher(store=store), lifetimes(ctx.environ).value
    return Renew(publisher, trust, store, ctx.proposals, lifetimes=life, clock=ctx.now)


def _carry_out(act: Renew, plan: Plan, place: str, *, named: bool) -> None:
    """Renews, prints a line a role, and raises KeyMissing where what blocks pulls is left to others.

    Args:
        named: whether every role of the plan was asked for, also those that haven't expired.
    """
    from trustkit.client.renew import missing

    if not (plan.renew or plan.propose or plan.lacking):
        note(f"{plan.gun}: nothing expires within that time.")
        return
    done = act(plan)
    for role in done.roles:
        data(f"{plan.gun}: {role.name} is at version {role.version}, until {role.expires:%Y-%m-%d %H:%M} UTC")
    if not done.trusted:
        note(f"{plan.gun} stays expired until the rest is renewed, too: trustkit status {plan.gun}")
    blocking = [role for role in done.lacking if role.blocks and (role.expired or named)]
    for role in done.lacking:
        if role not in blocking:
            when = "has expired" if role.expired else f"expires at {role.expires:%Y-%m-%d %H:%M} UTC"
            note(f"{plan.gun}: {role.name} {when}, which breaks {role.breaks}; it is renewed by {role.renewer}.")
    if blocking:
        raise missing(plan.gun, blocking, place)


def _show(plan: Plan) -> None:
    for role in plan.renew:
        tags = plan.tags(role)
        signs = f", with {len(tags)} tag{'' if len(tags) == 1 else 's'}" if tags else ""
        data(f"{plan.gun}: {role.name} would be signed anew{signs} (now version {role.version})")
        for tag in tags:
            data(f"  {plan.gun}:{tag}@{plan.base.view.targets[tag].digest}")
    for role in plan.propose:
        data(f"{plan.gun}: {role.name} would be proposed; it takes {role.renewer}")
    for role in plan.lacking:
        data(f"{plan.gun}: {role.name} can't be renewed here; it takes {role.renewer}")
    note("Nothing was changed.")
