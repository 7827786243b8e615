"""``trustkit admin allow-reset`` and ``allow-catch-up``: what a signer does by its operator's consent only."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from trustkit.cli import output
from trustkit.cli.admin_service import SIGNER, Service, now, pass_service
from trustkit.core.names import Gun
from trustkit.errors import InvalidSetting, NotFound

if TYPE_CHECKING:
    from trustkit.core.ports.service import AuditRow

_KEY_ID = re.compile(r"[0-9a-f]{64}")
_withdraw = click.option("--withdraw", is_flag=True, help="Take a consent back that was not used yet.")


@click.command("allow-reset")
@click.argument("gun", metavar="GUN")
@_withdraw
@pass_service
def allow_reset(service: Service, gun: str, *, withdraw: bool) -> None:
    """On a separate signer: allow one reset of a collection whose online keys are there, within a day.

    DIR is the signer's data folder, and the signer may be running. An Owner resets the collection afterwards; it
    begins anew under new keys, at the next versions.

    \b
    Example:
      trustkit admin --data-dir /var/lib/signer allow-reset registry.example.com/app
    """
    named = Gun.parse(gun)
    _consent(service, named, "reset", (), withdraw=withdraw)
    if not withdraw:
        output.note(f"An Owner of the repository asks for it with: trustkit reset {named}")


@click.command("allow-catch-up")
@click.argument("gun", metavar="GUN")
@click.option(
    "--root-key",
    "root_keys",
    multiple=True,
    metavar="ID",
    help="A root key that must have signed the service's root; needed where the signer knows none. Repeatable.",
)
@_withdraw
@pass_service
def allow_catch_up(service: Service, gun: str, root_keys: tuple[str, ...], *, withdraw: bool) -> None:
    """On a separate signer that came from an older copy: let it go on from its service's state once, within a day.

    DIR is the signer's data folder, and the signer may be running. Before you allow it, make sure that nobody has
    broken into the service: this once the signer believes it what was signed last.

    \b
    Example:
      trustkit admin --data-dir /var/lib/signer allow-catch-up registry.example.com/app
    """
    if strange := [key for key in root_keys if not _KEY_ID.fullmatch(key)]:
        raise InvalidSetting(
            f"--root-key {strange[0][:80]!r} is no key id.", hint="It has 64 hex digits; trustkit key list shows it."
        )
    named = Gun.parse(gun)
    _consent(service, named, "catch-up", root_keys, withdraw=withdraw)
    if not withdraw:
        output.note("It comes about with the next publish or renewal.")


def signer_events(service: Service, limit: int) -> list[AuditRow] | None:
    """The newest events of the signer of this folder; None where it is a service's, or nobody's.

    Raises:
        InvalidSetting: a number of rows that is not from 1 to 100,000.
    """
    from trustkit.authority.audit import check_limit
    from trustkit.server.signer_service import ledger_of

    if service.database.exists or not (service.data_dir / SIGNER).exists():
        return None
    with ledger_of(service.data_dir) as ledger:
        return ledger.events(check_limit(limit))


def _consent(service: Service, gun: Gun, act: str, root_keys: tuple[str, ...], *, withdraw: bool) -> None:
    from trustkit.authority import signing
    from trustkit.server.signer_service import ledger_of

    with ledger_of(service.data_dir) as ledger:
        if not withdraw:
            until = signing.consent(ledger, gun, act, root_keys, service.actor, now())
            output.note(f"One {act} of {gun} is allowed until {until:%Y-%m-%d %H:%M} UTC.")
        elif signing.withdraw(ledger, gun, act, service.actor, now()):
            output.note(f"The {act} of {gun} is allowed no more.")
        else:
            raise NotFound(f"No {act} of {gun} was allowed, or it was used or has lapsed.")
