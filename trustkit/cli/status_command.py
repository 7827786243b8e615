"""``trustkit status``."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from trustkit.cli.app import report
from trustkit.cli.context import Context
from trustkit.cli.convert_end import side_json, words_of
from trustkit.cli.options import format_option
from trustkit.cli.output import data, data_json, note, table
from trustkit.cli.status import DONE, FAILED, exit_status
from trustkit.core.names import Gun
from trustkit.errors import CouldNotCheck, Expired, TrustkitError, UsageError

if TYPE_CHECKING:
    from trustkit.client.status import KeyStanding, Standing, Status
    from trustkit.core.health import RoleHealth
    from trustkit.core.ports.keys import KeyStore
    from trustkit.keys.store import FileKeyStore

EXPIRED = exit_status(Expired(""))
COULD_NOT_CHECK = exit_status(CouldNotCheck(""))


@click.command("status")
@click.argument("guns", metavar="[GUN...]", nargs=-1)
@click.option(
    "--warn-days",
    type=click.IntRange(min=0),
    default=30,
    show_default=True,
    metavar="N",
    help="Warn of what publishers have to renew within N days.",
)
@format_option
@click.pass_context
def command(click_context: click.Context, guns: tuple[str, ...], warn_days: int, output: str) -> None:
    """Show when each role of each GUN expires, what that would break, and who can renew it.

    Without GUN: every repository whose repository key is here, or that is pinned by its own name. Works when
    something has expired, too; nothing that it reads is trusted by it. For monitoring: status 0 all is fine, 1
    something expires soon, 3 something that pulls depend on has expired or isn't trusted, 4 could not check, 5 the
    login here has expired or lacks a role.

    \b
    Examples:
      trustkit status
      trustkit status registry.example.com/app --warn-days 60
    """
    ctx: Context = click_context.obj
    try:
        store = ctx.key_store()
        named = _named(ctx, guns, store)
        status = status_of(ctx, store, timedelta(days=warn_days))
    except TrustkitError as error:
        report(error)
        click_context.exit(_unknown(error))
    found: list[dict[str, Any]] = []
    ends: list[int] = []
    for number, gun in enumerate(named):
        if number and output == "table":
            data("")
        try:
            standing = status(gun)
        except TrustkitError as error:
            found.append(_failed(gun, error))
            ends.append(_unknown(error))
            if output == "table":
                data(f"{gun}: UNKNOWN")
            report(error, "" if str(gun) in error.message else str(gun))
            continue
        ends.append(_END[standing.grade.value])
        found.append(_as_json(standing))
        if output == "table":
            _show(standing, ctx.now())
    if output == "json":
        data_json(found)
    click_context.exit(next((end for end in ends if end not in (DONE, FAILED)), max(ends)))


_END = {"fine": DONE, "soon": FAILED, "expired": EXPIRED}


def _unknown(error: TrustkitError) -> int:
    """The exit status of who couldn't look: never 1, which says that all was seen and something expires soon."""
    status = exit_status(error)
    return COULD_NOT_CHECK if status == FAILED else status


def _named(ctx: Context, guns: tuple[str, ...], store: KeyStore) -> list[Gun]:
    from trustkit.client.status import known_guns

    named = [Gun.parse(gun) for gun in guns] or known_guns(store, ctx.home.pins)
    if not named:
        raise UsageError(
            "This home has no repository key, and no repository is pinned by its name.",
            hint="Name one: trustkit status GUN",
        )
    return list(dict.fromkeys(named))


def status_of(ctx: Context, store: FileKeyStore, within: timedelta) -> Status:
    """The status use case."""
    from trustkit.cli.convert import conversions
    from trustkit.client.status import Status
    from trustkit.core.ports.keys import KeyRole

    def docker() -> tuple[KeyStore, dict[str, datetime]]:
        from trustkit.keys.dockerstore import DockerIds, in_docker

        times = ctx.home.backups.times()
        return DockerIds(store), {in_docker(i).id: times[i.id] for i in store.list() if i.id in times}

    trust = ctx.trust(lambda: [info.id for info in store.list() if info.role is KeyRole.ROOT], ctx.looking, only=None)
    return Status(
        trust,
        store,
        ctx.service,
        ctx.proposals,
        conversions(ctx),
        docker=docker,
        backups=ctx.home.backups.times,
        clock=ctx.now,
        within=within,
    )


def _show(standing: Standing, now: datetime) -> None:
    soonest = standing.health.soonest
    until = f" until {_day(soonest.expires)} ({soonest.name})" if soonest else ""
    data(f"{standing.gun}: " + (f"trusted{until}" if standing.health.trusted else "EXPIRED"))
    rows = [
        (role.name, str(role.version or "-"), _expiry(role), role.breaks, role.renewer)
        for role in standing.health.roles
    ]
    table(("ROLE", "VERSION", "EXPIRES", "BREAKS", "RENEWED BY"), rows)
    data("")
    keys = [(key.id[:16], key.holder, ", ".join(key.roles), _where(key)) for key in standing.keys]
    table(("KEY", "OF", "SIGNS", "WHERE"), keys)
    if standing.docker:
        data("")
        data(f"{standing.gun}: {words_of(standing.docker, now)}")
    for warning in standing.warnings:
        note(f"{standing.gun}: {warning}")


def _expiry(role: RoleHealth) -> str:
    return _day(role.expires) + (" EXPIRED" if role.expired else " soon" if role.soon else "")


def _where(key: KeyStanding) -> str:
    if not key.here:
        return "elsewhere"
    if key.uri:
        return f"here, at {key.uri}"
    return f"here, backed up {_day(key.backup)}" if key.backup else "here, in no backup"


def _day(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else "-"


def _failed(gun: Gun, error: TrustkitError) -> dict[str, Any]:
    """The same members as ``_as_json``, empty: what couldn't be verified isn't told of."""
    return {
        "gun": str(gun),
        "trusted": False,
        "grade": "unknown",
        "error": {"slug": error.slug, "message": error.message, "hint": error.hint},
        "soonest": None,
        "roles": [],
        "keys": [],
        "pending": {},
        "proposals": [],
        "docker": None,
        "warnings": [],
    }


def _as_json(standing: Standing) -> dict[str, Any]:
    soonest = standing.health.soonest
    return {
        "gun": str(standing.gun),
        "trusted": standing.health.trusted,
        "grade": standing.grade.value,
        "error": None,
        "soonest": {"role": soonest.name, "expires": _iso(soonest.expires)} if soonest else None,
        "roles": [_role(role) for role in standing.health.roles],
        "keys": [_key(key) for key in standing.keys],
        "pending": dict(standing.pending),
        "proposals": [{"id": p.id, "role": p.role, "missing": p.missing} for p in standing.proposals],
        "docker": side_json(standing.docker),
        "warnings": list(standing.warnings),
    }


def _key(key: KeyStanding) -> dict[str, Any]:
    return {
        "id": key.id,
        "holder": key.holder,
        "roles": list(key.roles),
        "here": key.here,
        "backup": _iso(key.backup),
        "uri": key.uri,
    }


def _role(role: RoleHealth) -> dict[str, Any]:
    return {
        "name": role.name,
        "version": role.version,
        "expires": _iso(role.expires),
        "expired": role.expired,
        "soon": role.soon,
        "breaks": role.breaks,
        "blocks": role.blocks,
        "threshold": role.threshold,
        "keys": list(role.key_ids),
        "here": list(role.here),
        "renewable": role.renewable,
        "renewer": role.renewer,
    }


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
