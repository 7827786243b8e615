"""``trustkit admin``: principals, roles and policies, on the database of a service that may be running."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trustkit.cli import output
from trustkit.cli.admin_collections import collection
from trustkit.cli.admin_consent import allow_catch_up, allow_reset, signer_events
from trustkit.cli.admin_founders import founders
from trustkit.cli.admin_kek import kek
from trustkit.cli.admin_migration import allow_migration
from trustkit.cli.admin_people import principal, role
from trustkit.cli.admin_places import drop, use
from trustkit.cli.admin_policy import policy
from trustkit.cli.admin_prune import prune
from trustkit.cli.admin_registry import registry
from trustkit.cli.admin_service import Service, format_option, now, pass_service, show
from trustkit.cli.admin_upkeep import online_keys, recover
from trustkit.cli.database_options import database_options, database_source
from trustkit.core.patterns import RepositoryPattern

if TYPE_CHECKING:
    from trustkit.core.ports.service import Store


@click.group("admin")
@click.option(
    "--data-dir",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="The service's data folder.  [required]",
)
@database_options
@click.pass_context
def command(
    ctx: click.Context,
    data_dir: Path | None,
    database: str | None,
    database_password_file: Path | None,
    *,
    unsafe_plain_database: bool,
) -> None:
    """Principals, roles and policies of a service.

    Works on the service's database; a running service follows within a second.
    """
    if data_dir is None:
        return  # what needs it says so: a command's --help doesn't
    source = database_source(database, database_password_file, unsafe_plain=unsafe_plain_database)
    ctx.obj = Service(data_dir, f"operator:{_login_name()}", source.of(data_dir))


@command.group()
def repository() -> None:
    """Policies of repositories."""


@repository.command("set")
@click.argument("pattern")
@click.option("--trust-only/--no-trust-only", required=True, help="Serve signed tags only, or everything.")
@pass_service
def repository_set(service: Service, pattern: str, *, trust_only: bool) -> None:
    """Say whether the repositories of PATTERN serve signed tags only.

    PATTERN is a repository, PREFIX/* or *, which is the registry's default; the most specific one counts.

    \b
    Example:
      trustkit admin --data-dir /var/lib/trustkit repository set 'team/*' --trust-only
    """
    from trustkit.authority import settings

    parsed = RepositoryPattern.parse(pattern)

    async def change(store: Store) -> None:
        async with store.write() as tx:
            await settings.set_trust_only(
                tx, parsed, trust_only=trust_only, actor=service.actor, source="local", now=now()
            )

    service.run(change, begins=True)
    output.note(f"{parsed}: {'signed tags only' if trust_only else 'signed and unsigned tags'}.")


for each_command in (
    principal,
    role,
    collection,
    founders,
    kek,
    online_keys,
    policy,
    prune,
    recover,
    registry,
    allow_reset,
    allow_catch_up,
    allow_migration,
):
    command.add_command(each_command)
for each_command in (use, drop):
    online_keys.add_command(each_command)


@command.group()
def audit() -> None:
    """What was changed, when and by whom."""


@audit.command("list")
@click.option("--limit", default=100, show_default=True, help="How many rows, the newest first.")
@format_option
@pass_service
def audit_list(service: Service, limit: int, layout: str) -> None:
    """List the newest changes; in the data folder of a separate signer, what was done with its keys.

    \b
    Example:
      trustkit admin --data-dir /var/lib/trustkit audit list --limit 20
    """
    from trustkit.authority.audit import newest

    events = signer_events(service, limit)
    if events is None:
        events = service.run(lambda store: newest(store, limit))
    rows: list[dict[str, object]] = [
        {
            "at": row.at.isoformat(timespec="seconds"),
            "actor": row.actor,
            "source": row.source,
            "action": row.action,
            "subject": row.subject,
            "detail": dict(row.detail),
        }
        for row in events
    ]
    show(layout, ("at", "actor", "source", "action", "subject", "detail"), rows)


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
