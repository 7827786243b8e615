"""``trustkit admin``: principals, roles and policies, on the database of a service that may be running."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trustkit.cli import output
from trustkit.cli.admin_collections import collection
from trustkit.cli.admin_consent import allow_catch_up, allow_reset, signer_events
from trustkit.cli.admin_founders import founders
from trustkit.cli.admin_kek import kek
from trustkit.cli.admin_migration import allow_migration
from trustkit.cli.admin_places import drop, use
from trustkit.cli.admin_policy import policy
from trustkit.cli.admin_prune import prune
from trustkit.cli.admin_registry import registry
from trustkit.cli.admin_service import Service, format_option, now, pass_service, show
from trustkit.cli.admin_upkeep import online_keys, recover
from trustkit.cli.database_options import database_options, database_source
from trustkit.core.access import Assignment, Role
from trustkit.core.names import PrincipalName
from trustkit.core.patterns import RepositoryPattern
from trustkit.errors import InvalidSetting

if TYPE_CHECKING:
    from trustkit.core.ports.service import Store

MAX_STDIN = 4096

_stdin = click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
_repository = click.option(
    "--repository", metavar="PATTERN", default="*", show_default=True, help="A repository, PREFIX/* or *."
)


@click.group("admin")
@click.option(
    "--data-dir",
    metavar="DIR",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="The service's data folder.",
)
@database_options
@click.pass_context
def command(
    ctx: click.Context,
    data_dir: Path,
    database: str | None,
    database_password_file: Path | None,
    *,
    unsafe_plain_database: bool,
) -> None:
    """Principals, roles and policies of a service.

    Works on the service's database; a running service follows within a second.
    """
    source = database_source(database, database_password_file, unsafe_plain=unsafe_plain_database)
    ctx.obj = Service(data_dir, f"operator:{_login_name()}", source.of(data_dir))


@command.group()
def principal() -> None:
    """Who can log in: users, service principals, tokens."""


@principal.command("add")
@click.argument("name")
@_stdin
@pass_service
def principal_add(service: Service, name: str, *, password_stdin: bool) -> None:
    """Add a principal without roles.

    Prints a generated password, once, unless one is given.
    """
    parsed, password = PrincipalName.parse(name), _password(given=password_stdin)
    generated = service.run(lambda store: service.principals(store).add(parsed, password))
    output.note(f"Added {parsed}. It has no role yet: trustkit admin role assign {parsed} ROLE.")
    _show_password(generated)


@principal.command("list")
@format_option
@pass_service
def principal_list(service: Service, layout: str) -> None:
    """List principals."""
    records = service.run(lambda store: service.principals(store).list())
    rows = [
        {"name": str(r.name), "disabled": r.disabled, "created": r.created.isoformat(timespec="seconds")}
        for r in records
    ]
    show(layout, ("name", "disabled", "created"), rows)


@principal.command("disable")
@click.argument("name")
@pass_service
def principal_disable(service: Service, name: str) -> None:
    """Stop a principal from logging in; its refresh tokens are dead at once."""
    parsed = PrincipalName.parse(name)
    service.run(lambda store: service.principals(store).disable(parsed))
    output.note(f"Disabled {parsed}.")


@principal.command("remove")
@click.argument("name")
@pass_service
def principal_remove(service: Service, name: str) -> None:
    """Remove a principal with its roles; the audit log keeps its name."""
    parsed = PrincipalName.parse(name)
    service.run(lambda store: service.principals(store).remove(parsed))
    output.note(f"Removed {parsed}.")


@principal.command("passwd")
@click.argument("name")
@_stdin
@pass_service
def principal_passwd(service: Service, name: str, *, password_stdin: bool) -> None:
    """Give a principal a new password; its refresh tokens are dead at once."""
    parsed, password = PrincipalName.parse(name), _password(given=password_stdin)
    generated = service.run(lambda store: service.principals(store).set_password(parsed, password))
    output.note(f"{parsed} has a new password.")
    _show_password(generated)


@command.group()
def role() -> None:
    """Who may do what: AcrPull, AcrPush, AcrDelete, AcrImageSigner, Reader, Contributor, Owner."""


@role.command("assign")
@click.argument("name")
@click.argument("role_name", metavar="ROLE")
@_repository
@pass_service
def role_assign(service: Service, name: str, role_name: str, repository: str) -> None:
    """Assign a role to a principal."""
    parsed, assignment = PrincipalName.parse(name), _assignment(role_name, repository)
    service.run(lambda store: service.principals(store).assign(parsed, assignment))
    output.note(f"{parsed} has {assignment.role.value} on {assignment.pattern}.")


@role.command("revoke")
@click.argument("name")
@click.argument("role_name", metavar="ROLE")
@_repository
@pass_service
def role_revoke(service: Service, name: str, role_name: str, repository: str) -> None:
    """Take a role away; the pattern is the one that it was assigned with."""
    parsed, assignment = PrincipalName.parse(name), _assignment(role_name, repository)
    service.run(lambda store: service.principals(store).revoke(parsed, assignment))
    output.note(f"{parsed} doesn't have {assignment.role.value} on {assignment.pattern} any more.")


@role.command("list")
@format_option
@pass_service
def role_list(service: Service, layout: str) -> None:
    """List the roles of all principals."""
    held = service.run(lambda store: service.principals(store).assignments())
    rows: list[dict[str, object]] = [
        {"name": str(name), "role": assignment.role.value, "repository": str(assignment.pattern)}
        for name, assignments in held.items()
        for assignment in assignments
    ]
    show(layout, ("name", "role", "repository"), rows)


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
    """
    from trustkit.authority import settings

    parsed = RepositoryPattern.parse(pattern)

    async def change(store: Store) -> None:
        async with store.write() as tx:
            await settings.set_trust_only(
                tx, parsed, trust_only=trust_only, actor=service.actor, source="local", now=now()
            )

    service.run(change)
    output.note(f"{parsed}: {'signed tags only' if trust_only else 'signed and unsigned tags'}.")


for each_command in (
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
    """List the newest changes; in the data folder of a separate signer, what was done with its keys."""
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


def _show_password(generated: str | None) -> None:
    if generated is not None:
        output.note("Its password, shown this once:")
        output.data(generated)


def _password(*, given: bool) -> str | None:
    """The password from standard input without one trailing newline; None where none is given."""
    if not given:
        return None
    raw = sys.stdin.buffer.read(MAX_STDIN + 1)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidSetting("The password on standard input is not UTF-8.") from error
    if len(raw) > MAX_STDIN:
        raise InvalidSetting(f"The password on standard input is over {MAX_STDIN} bytes.")
    return text.removesuffix("\n").removesuffix("\r")


def _assignment(role_name: str, pattern: str) -> Assignment:
    return Assignment(Role.named(role_name), RepositoryPattern.parse(pattern))


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
