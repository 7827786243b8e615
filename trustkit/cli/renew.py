"""``trustkit renew``."""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trustkit.cli.app import report
from trustkit.cli.context import Context
from trustkit.cli.options import passphrase_options, trust_dir_option
from trustkit.cli.output import data, note
from trustkit.cli.publishing import docker_publisher, docker_store, tuf_publisher
from trustkit.cli.status import DONE, exit_status
from trustkit.core.names import Gun
from trustkit.core.rules import DOCKER
from trustkit.errors import Expired, TrustkitError, UsageError

if TYPE_CHECKING:
    from trustkit.client.docker_renew import DockerRenew
    from trustkit.client.renew import Plan, Renew
    from trustkit.client.trust import Trust
    from trustkit.keys.passphrase import PassphraseSource


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
@trust_dir_option
@passphrase_options
@click.pass_context
def command(
    click_context: click.Context,
    guns: tuple[str, ...],
    roles: tuple[str, ...],
    within: int,
    trust_dir: Path | None,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
    *,
    everything: bool,
    dry_run: bool,
) -> None:
    """Renew signatures of each GUN that have expired or soon will, with the keys here; the contents don't change.

    If the keys here are not enough, it says who else can renew; where they are some of several, a proposal is left
    for the others. The service renews snapshot and timestamp by itself. In format docker the certificates of root
    keys are renewed, too, for the same keys.

    \b
    Examples:
      trustkit renew registry.example.com/app --dry-run
      trustkit renew registry.example.com/app registry.example.com/db
    """
    ctx: Context = click_context.obj
    if roles and everything:
        raise UsageError("--role says which roles, and --all all of them.", hint="Give one of the two.")
    renewing, status = Renewing(ctx, ctx.passphrases(passphrase_file, passphrase_fd), trust_dir), DONE
    for gun in dict.fromkeys(Gun.parse(text) for text in guns):
        try:
            act, place = renewing.of(gun)
            plan = act.plan(gun, roles=roles, within=None if everything else timedelta(days=within))
            if dry_run:
                _show(plan)
            else:
                _carry_out(act, plan, place, named=everything or bool(roles))
                renewing.write_down(gun, plan)
        except TrustkitError as error:
            report(error, "" if str(gun) in error.message else str(gun))
            status = status or exit_status(error)
    click_context.exit(status)


class Renewing:
    """What renews collections of either format, by the keys of the home or of Docker's folder."""

    def __init__(self, ctx: Context, passphrases: PassphraseSource, trust_dir: Path | None) -> None:
        self._ctx = ctx
        self._only = trust_dir is not None
        self._home = ctx.key_store(passphrases=passphrases)
        self._keys = docker_store(passphrases, self._home, trust_dir)

    def of(self, gun: Gun) -> tuple[Renew | DockerRenew, str]:
        """What renews a collection, and where its keys are; a pin in format ``docker`` follows a conversion.

        Raises:
            UsageError: Docker's folder has no keys for its format.
            Converted: it was converted, and the pin doesn't lead there; and as ``Trust.seen``.
        """
        if self._is_docker(gun):
            return self._docker, self._keys.place
        if self._only:
            raise UsageError(
                f"{gun} is not in format docker, and only such collections have keys in Docker's folder.",
                hint="Leave out --trust-dir.",
            )
        return self._tuf, self._home.place

    def _is_docker(self, gun: Gun) -> bool:
        if self._either.pinned_format(gun) != DOCKER:
            return False
        return self._either.seen(gun, self._ctx.now()).pin.format == DOCKER

    def write_down(self, gun: Gun, plan: Plan) -> None:
        """Has the pin say where it led, once what is there verifies; until then the next command follows, too."""
        if plan.base.pin.format == DOCKER or self._either.pinned_format(gun) != DOCKER:
            return
        try:
            self._either.current(gun, self._ctx.now())
        except Expired:
            return  # of which the renewal has told

    @cached_property
    def _either(self) -> Trust:
        return self._ctx.trust(looking=self._ctx.looking, only=None)

    @cached_property
    def _tuf(self) -> Renew:
        from trustkit.client.renew import Renew
        from trustkit.config import lifetimes
        from trustkit.core.ports.keys import KeyRole

        ctx, store = self._ctx, self._home
        trust = ctx.trust(lambda: [info.id for info in store.list() if info.role is KeyRole.ROOT], ctx.looking)
        publisher, life = tuf_publisher(ctx, store), lifetimes(ctx.environ).value
        return Renew(publisher, trust, store, ctx.proposals, lifetimes=life, clock=ctx.now)

    @cached_property
    def _docker(self) -> DockerRenew:
        from trustkit.client.docker_renew import DockerRenew
        from trustkit.config import lifetimes

        ctx, life = self._ctx, lifetimes(self._ctx.environ).value
        trust = ctx.trust(looking=ctx.looking, only=None, follows=False)
        publisher = docker_publisher(ctx, self._keys)
        return DockerRenew(publisher, trust, self._keys, lifetimes=life, clock=ctx.now, say=note)


def _carry_out(act: Renew | DockerRenew, plan: Plan, place: str, *, named: bool) -> None:
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
    if not (plan.renew or plan.propose or plan.lacking):
        data(f"{plan.gun}: nothing expires within that time.")
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
