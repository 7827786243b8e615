"""``trustkit admin principal`` and ``role``: who can log in, and who may do what."""

from __future__ import annotations

import sys

import click

from trustkit.cli import output
from trustkit.cli.admin_service import Service, format_option, pass_service, show
from trustkit.core.access import Assignment, Role
from trustkit.core.names import PrincipalName
from trustkit.core.patterns import RepositoryPattern
from trustkit.errors import InvalidSetting

MAX_STDIN = 4096

_stdin = click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
_repository = click.option(
    "--repository", metavar="PATTERN", default="*", show_default=True, help="A repository, PREFIX/* or *."
)


@click.group()
def principal() -> None:
    """Who can log in: users, service principals, tokens."""


@principal.command("add")
@click.argument("name")
@_stdin
@pass_service
def principal_add(service: Service, name: str, *, password_stdin: bool) -> None:
    """Add a principal without roles.

    Prints a generated password, once, unless one is given.

    \b
    Example:
      trustkit admin --data-dir /var/lib/trustkit principal add alice
    """
    parsed, password = PrincipalName.parse(name), _password(given=password_stdin)
    generated = service.run(lambda store: service.principals(store).add(parsed, password), begins=True)
    output.note(f"Added {parsed}. It has no role yet: trustkit admin role assign {parsed} ROLE.")
    _show_password(generated)


@principal.command("list")
@format_option
@pass_service
def principal_list(service: Service, layout: str) -> None:
    """List principals.

    \b
    Example:
      trustkit admin --data-dir /var/lib/trustkit principal list
    """
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
    """Stop a principal from logging in; its refresh tokens are dead at once.

    \b
    Example:
      trustkit admin --data-dir /var/lib/trustkit principal disable alice
    """
    parsed = PrincipalName.parse(name)
    service.run(lambda store: service.principals(store).disable(parsed))
    output.note(f"Disabled {parsed}.")


@principal.command("remove")
@click.argument("name")
@pass_service
def principal_remove(service: Service, name: str) -> None:
    """Remove a principal with its roles; the audit log keeps its name.

    \b
    Example:
      trustkit admin --data-dir /var/lib/trustkit principal remove alice
    """
    parsed = PrincipalName.parse(name)
    service.run(lambda store: service.principals(store).remove(parsed))
    output.note(f"Removed {parsed}.")


@principal.command("passwd")
@click.argument("name")
@_stdin
@pass_service
def principal_passwd(service: Service, name: str, *, password_stdin: bool) -> None:
    """Give a principal a new password; its refresh tokens are dead at once.

    \b
    Example:
      trustkit admin --data-dir /var/lib/trustkit principal passwd alice
    """
    parsed, password = PrincipalName.parse(name), _password(given=password_stdin)
    generated = service.run(lambda store: service.principals(store).set_password(parsed, password))
    output.note(f"{parsed} has a new password.")
    _show_password(generated)


@click.group()
def role() -> None:
    """Who may do what: AcrPull, AcrPush, AcrDelete, AcrImageSigner, Reader, Contributor, Owner."""


@role.command("assign")
@click.argument("name")
@click.argument("role_name", metavar="ROLE")
@_repository
@pass_service
def role_assign(service: Service, name: str, role_name: str, repository: str) -> None:
    """Assign a role to a principal.

    \b
    Example:
      trustkit admin --data-dir /var/lib/trustkit role assign alice AcrImageSigner --repository 'team/*'
    """
    parsed, assignment = PrincipalName.parse(name), _assignment(role_name, repository)
    service.run(lambda store: service.principals(store).assign(parsed, assignment))
    output.note(f"{parsed} has {assignment.role.value} on {assignment.pattern}.")


@role.command("revoke")
@click.argument("name")
@click.argument("role_name", metavar="ROLE")
@_repository
@pass_service
def role_revoke(service: Service, name: str, role_name: str, repository: str) -> None:
    """Take a role away; the pattern is the one that it was assigned with.

    \b
    Example:
      trustkit admin --data-dir /var/lib/trustkit role revoke alice AcrPush
    """
    parsed, assignment = PrincipalName.parse(name), _assignment(role_name, repository)
    service.run(lambda store: service.principals(store).revoke(parsed, assignment))
    output.note(f"{parsed} doesn't have {assignment.role.value} on {assignment.pattern} any more.")


@role.command("list")
@format_option
@pass_service
def role_list(service: Service, layout: str) -> None:
    """List the roles of all principals.

    \b
    Example:
      trustkit admin --data-dir /var/lib/trustkit role list
    """
    held = service.run(lambda store: service.principals(store).assignments())
    rows: list[dict[str, object]] = [
        {"name": str(name), "role": assignment.role.value, "repository": str(assignment.pattern)}
        for name, assignments in held.items()
        for assignment in assignments
    ]
    show(layout, ("name", "role", "repository"), rows)


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
